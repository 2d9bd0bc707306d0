-- Those of chains in which something stands in the way of a new one: any that is open, or dead and
-- blocking.
SELECT wanted.chain
FROM unnest($1::text[]) AS wanted (chain)
CROSS JOIN LATERAL (
  SELECT 1 FROM dispatcher.delivery
  WHERE delivery.chain = wanted.chain
    AND (state = 'pending' OR state = 'sending' OR (state = 'dead' AND on_dead = 'block'))
  LIMIT 1
) AS first
