-- A lease of a remote worker.
INSERT INTO holder (id, name, expires_at, lease_ms, ends_at)
VALUES (:id, :name, :expires_at, :lease_ms, :ends_at)
