-- How many secrets of an endpoint would be in force if they ended at an instant at the latest.
SELECT count(*) FROM dispatcher.endpoint_secret
WHERE endpoint_id = $1 AND least(expires_at, $3::bigint) > $2::bigint
