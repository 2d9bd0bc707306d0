-- The first of each chain that stands in the way of the rest.
SELECT
  wanted.chain, head.seq, head.destination_seq, head.state, head.blocked, head.due_at, head.url
FROM unnest($1::text[]) AS wanted (chain)
CROSS JOIN LATERAL (
  SELECT seq, destination_seq, state, blocked, due_at, url FROM dispatcher.delivery
  WHERE delivery.chain = wanted.chain
    AND (state = 'pending' OR state = 'sending' OR (state = 'dead' AND on_dead = 'block'))
  ORDER BY seq
  LIMIT 1
) AS head
