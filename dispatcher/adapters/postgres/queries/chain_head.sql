-- The first of a chain that stands in the way of the rest.
SELECT seq, destination_seq, state, blocked, due_at, url FROM dispatcher.delivery
WHERE chain = $1
  AND (state = 'pending' OR state = 'sending' OR (state = 'dead' AND on_dead = 'block'))
ORDER BY seq
LIMIT 1
