-- A move is whole: the database may be served.
UPDATE dispatcher.meta SET name = 'moved here' WHERE name = 'moving' AND value = $1 RETURNING name
