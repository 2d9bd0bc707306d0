-- End a delivery that waits.
UPDATE delivery SET state = :to, finished_at = :at, blocked = 0
WHERE id = :id AND state = 'pending' AND (:round IS NULL OR round = :round)
RETURNING seq, chain
