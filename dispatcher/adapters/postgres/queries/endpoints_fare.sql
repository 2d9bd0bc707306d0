-- Since when nothing but failures came of endpoints that are locked; NULL: they work again.
UPDATE dispatcher.endpoint SET failing_since = fares.since
FROM unnest($1::text[], $2::bigint[]) AS fares (id, since)
WHERE endpoint.id = fares.id AND endpoint.id = ANY ($1::text[])
