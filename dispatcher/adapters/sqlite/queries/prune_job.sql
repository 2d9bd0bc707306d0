-- Erase a job; its input, result, events, deliveries and attempts go with it (foreign keys).
DELETE FROM job WHERE seq = ?
