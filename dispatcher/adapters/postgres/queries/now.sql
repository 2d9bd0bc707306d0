-- The instant: PostgreSQL's own, unless a test tells it.
SELECT coalesce($1::bigint, floor(extract(epoch FROM clock_timestamp()) * 1000)::bigint)
