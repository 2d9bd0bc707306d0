-- Erase a destination of an endpoint that was deleted.
DELETE FROM destination WHERE seq = ?
