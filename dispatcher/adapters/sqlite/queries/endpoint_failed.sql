-- The endpoint that an attempt has failed at, if that was to its present URL, and it is enabled.
SELECT endpoint.*, (SELECT terms FROM caller WHERE caller.id = endpoint.caller_id)
FROM delivery
JOIN endpoint ON endpoint.id = delivery.endpoint_id AND endpoint.url = delivery.url
WHERE delivery.id = ? AND endpoint.disabled_at IS NULL AND endpoint.deleted_at IS NULL
