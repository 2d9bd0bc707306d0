-- Whether one of a chain stands in the way of a new one: any that is open, or dead and blocking.
SELECT 1 FROM dispatcher.delivery
WHERE chain = $1
  AND (state = 'pending' OR state = 'sending' OR (state = 'dead' AND on_dead = 'block'))
LIMIT 1
