-- The instant of a transaction (PostgreSQL's own, unless a test tells it), and its number, by which
-- its outcome can be asked for if the connection is lost during COMMIT.
SELECT
  coalesce($1::bigint, floor(extract(epoch FROM clock_timestamp()) * 1000)::bigint),
  pg_current_xact_id()
