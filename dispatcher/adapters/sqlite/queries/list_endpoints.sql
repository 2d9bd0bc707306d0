-- The endpoints of every caller, newest first.
SELECT endpoint.*, (SELECT terms FROM caller WHERE caller.id = endpoint.caller_id)
FROM endpoint WHERE deleted_at IS NULL AND seq < :before ORDER BY seq DESC LIMIT :limit
