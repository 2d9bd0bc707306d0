-- A new signing secret, sealed.
INSERT INTO secret (caller_id, sealed, created_at) VALUES (:caller_id, :sealed, :created_at)
