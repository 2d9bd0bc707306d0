-- The endpoints of a caller, newest first.
SELECT endpoint.*, (SELECT terms FROM caller WHERE caller.id = endpoint.caller_id)
FROM endpoint
WHERE caller_id = :caller_id AND deleted_at IS NULL AND seq < :before
ORDER BY seq DESC
LIMIT :limit
