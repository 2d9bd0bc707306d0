-- Whether one of a chain, besides this one, stands in the way of it: any that is open, or dead and
-- blocking.
SELECT 1 FROM delivery
WHERE chain = :chain AND seq <> :besides
  AND (state = 'pending' OR state = 'sending' OR (state = 'dead' AND on_dead = 'block'))
LIMIT 1
