-- A caller by its id.
SELECT id, name, created_at, terms FROM caller WHERE id = ?
