-- The endpoints of a caller, newest first.
SELECT * FROM endpoint
WHERE caller_id = :caller_id AND deleted_at IS NULL AND seq < :before
ORDER BY seq DESC
LIMIT :limit
