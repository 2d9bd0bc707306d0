-- Set what holds for a caller.
UPDATE dispatcher.caller SET terms = $2 WHERE id = $1
