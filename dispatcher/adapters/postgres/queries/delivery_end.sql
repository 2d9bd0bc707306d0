-- End a delivery that waits, and is locked.
UPDATE dispatcher.delivery SET state = $2, finished_at = $3, blocked = FALSE
WHERE seq = $1 AND state = 'pending'
