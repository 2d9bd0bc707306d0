-- The endpoints of a caller, oldest first.
SELECT endpoint.*, (SELECT terms FROM caller WHERE caller.id = endpoint.caller_id)
FROM endpoint WHERE caller_id = ? AND deleted_at IS NULL ORDER BY seq
