-- Destinations as they are named outside.
SELECT seq, id, caller_id, origin, endpoint_id FROM dispatcher.destination
WHERE seq = ANY ($1::bigint[])
