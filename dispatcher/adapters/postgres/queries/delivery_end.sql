-- End a delivery that is locked: one that waits, or is dead and keeps others waiting.
UPDATE dispatcher.delivery SET state = $2, finished_at = $3, blocked = FALSE
WHERE seq = $1
