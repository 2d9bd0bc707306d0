-- What the destinations of endpoints are for: more than one if a URL was changed while something
-- waited.
SELECT caller_id, origin, endpoint_id FROM dispatcher.destination
WHERE endpoint_id = ANY ($1::text[]) AND endpoint_id <> ''
