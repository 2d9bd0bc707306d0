-- The endpoints of every caller, newest first.
SELECT * FROM endpoint WHERE deleted_at IS NULL AND seq < :before ORDER BY seq DESC LIMIT :limit
