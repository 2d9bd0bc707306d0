-- A new caller, unless its name is taken.
INSERT INTO caller (id, name, created_at, terms) VALUES (:id, :name, :created_at, :terms)
ON CONFLICT (name) DO NOTHING
