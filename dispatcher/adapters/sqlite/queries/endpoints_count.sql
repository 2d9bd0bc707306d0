-- How many endpoints a caller has.
SELECT count(*) FROM endpoint WHERE caller_id = ? AND deleted_at IS NULL
