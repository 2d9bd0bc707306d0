-- How many secrets of an endpoint would be in force if they ended at an instant at the latest.
SELECT count(*) FROM endpoint_secret
WHERE endpoint_id = :endpoint_id AND min(coalesce(expires_at, :until), :until) > :now
