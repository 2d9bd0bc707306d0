-- A caller by its id.
SELECT id, name, created_at, terms FROM dispatcher.caller WHERE id = $1
