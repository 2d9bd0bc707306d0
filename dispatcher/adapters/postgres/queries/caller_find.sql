-- A caller by its id, or by its name.
SELECT id, name, created_at, terms FROM dispatcher.caller WHERE id = $1 OR name = $1
ORDER BY id = $1 DESC
LIMIT 1
