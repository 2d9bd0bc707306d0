-- Erase the deliveries of an event of no job; their attempts go with them (a foreign key).
DELETE FROM delivery WHERE event_seq = ? AND job_seq IS NULL
