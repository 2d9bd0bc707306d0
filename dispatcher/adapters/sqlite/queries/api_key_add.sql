-- A new API key.
INSERT INTO api_key (id, caller_id, role, digest, created_at, expires_at, revoked_at)
VALUES (:id, :caller_id, :role, :digest, :created_at, :expires_at, :revoked_at)
