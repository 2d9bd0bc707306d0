-- A caller by its id, or by its name.
SELECT id, name, created_at, terms FROM caller WHERE id = :wanted OR name = :wanted
ORDER BY id = :wanted DESC
LIMIT 1
