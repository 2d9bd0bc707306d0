-- The endpoints of a caller, oldest first.
SELECT * FROM endpoint WHERE caller_id = ? AND deleted_at IS NULL ORDER BY seq
