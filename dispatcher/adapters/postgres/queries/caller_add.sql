-- A new caller, unless its name is taken.
INSERT INTO dispatcher.caller (id, name, created_at) VALUES ($1, $2, $3)
ON CONFLICT (name) DO NOTHING
RETURNING seq
