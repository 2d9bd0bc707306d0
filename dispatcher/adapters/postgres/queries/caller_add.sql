-- A new caller, unless its name is taken.
INSERT INTO dispatcher.caller (id, name, created_at, terms) VALUES ($1, $2, $3, $4)
ON CONFLICT (name) DO NOTHING
RETURNING seq
