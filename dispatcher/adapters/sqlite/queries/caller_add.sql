-- A new caller, unless its name is taken.
INSERT INTO caller (id, name, created_at) VALUES (:id, :name, :created_at)
ON CONFLICT (name) DO NOTHING
