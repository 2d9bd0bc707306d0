-- Leases of remote workers.
INSERT INTO dispatcher.holder (id, name, expires_at, lease_ms, ends_at)
SELECT id, name, expires_at, lease_ms, ends_at
FROM unnest($1::text[], $2::text[], $3::bigint[], $4::bigint[], $5::bigint[])
  AS new (id, name, expires_at, lease_ms, ends_at)
