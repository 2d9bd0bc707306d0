-- A new API key.
INSERT INTO dispatcher.api_key (id, caller_id, role, digest, created_at, expires_at, revoked_at)
VALUES ($1, $2, $3, $4, $5, $6, $7)
