-- A new signing secret, sealed.
INSERT INTO dispatcher.secret (caller_id, sealed, created_at) VALUES ($1, $2, $3)
