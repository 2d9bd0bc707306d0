-- How many endpoints a caller has.
SELECT count(*) FROM dispatcher.endpoint WHERE caller_id = $1 AND deleted_at IS NULL
