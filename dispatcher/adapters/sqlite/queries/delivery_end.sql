-- End a delivery that waits; or cancel one that is dead and keeps others waiting.
UPDATE delivery SET state = :to, finished_at = :at, blocked = 0
WHERE id = :id AND (:round IS NULL OR round = :round)
  AND (state = 'pending' OR (state = 'dead' AND on_dead = 'block' AND :to = 'canceled'))
RETURNING seq, chain
