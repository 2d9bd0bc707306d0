-- A caller by its id; locked, so that what it owns is changed by one at a time.
SELECT id, name, created_at, terms FROM dispatcher.caller WHERE id = $1 FOR NO KEY UPDATE
