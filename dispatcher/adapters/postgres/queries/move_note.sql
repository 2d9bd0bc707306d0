-- Note how far a move has come, unless somebody else has.
UPDATE dispatcher.meta SET value = $2 WHERE name = 'moving' AND value = $1 RETURNING name
