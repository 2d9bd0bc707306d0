-- Disable an endpoint, unless it is so already.
UPDATE endpoint SET disabled_at = :at, disabled_reason = :reason, version = version + 1
WHERE id = :id AND disabled_at IS NULL AND deleted_at IS NULL
RETURNING *, (SELECT terms FROM caller WHERE caller.id = endpoint.caller_id)
