-- How many signing secrets of a caller would be in force if they ended at an instant at the latest.
SELECT count(*) FROM dispatcher.secret
WHERE caller_id = $1 AND least(expires_at, $3::bigint) > $2::bigint
