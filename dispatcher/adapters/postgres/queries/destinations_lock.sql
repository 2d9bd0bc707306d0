-- Lock destinations, and make those that are not there. The update never happens: it is what locks
-- a row that is there already.
INSERT INTO dispatcher.destination AS destination (id, caller_id, origin, endpoint_id)
SELECT id, caller_id, origin, endpoint_id
FROM unnest($1::text[], $2::text[], $3::text[], $4::text[])
  AS wanted (id, caller_id, origin, endpoint_id)
ORDER BY caller_id COLLATE "C", origin COLLATE "C", endpoint_id COLLATE "C"
ON CONFLICT (caller_id, origin, endpoint_id) DO UPDATE SET origin = excluded.origin WHERE FALSE
