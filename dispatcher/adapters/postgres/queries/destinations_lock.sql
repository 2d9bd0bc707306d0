-- Lock destinations, and make those that are not there: that of an endpoint has its rate, and is held
-- from the beginning if the endpoint is disabled or deleted. The update never happens: it is what
-- locks a row that is there already.
INSERT INTO dispatcher.destination AS destination (
  id, caller_id, origin, endpoint_id, held_at, rate_per_second
)
SELECT
  id, caller_id, origin, endpoint_id,
  CASE WHEN endpoint_id <> '' THEN (
    SELECT coalesce(deleted_at, disabled_at) FROM dispatcher.endpoint
    WHERE endpoint.id = wanted.endpoint_id
  ) END,
  CASE WHEN endpoint_id <> '' THEN (
    SELECT rate_limit FROM dispatcher.endpoint WHERE endpoint.id = wanted.endpoint_id
  ) END
FROM unnest($1::text[], $2::text[], $3::text[], $4::text[])
  AS wanted (id, caller_id, origin, endpoint_id)
ORDER BY caller_id COLLATE "C", origin COLLATE "C", endpoint_id COLLATE "C"
ON CONFLICT (caller_id, origin, endpoint_id) DO UPDATE SET origin = excluded.origin WHERE FALSE
