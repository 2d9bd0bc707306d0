-- An endpoint by its id, unless it was deleted.
SELECT endpoint.*, (SELECT terms FROM caller WHERE caller.id = endpoint.caller_id)
FROM endpoint
WHERE id = ? AND deleted_at IS NULL
