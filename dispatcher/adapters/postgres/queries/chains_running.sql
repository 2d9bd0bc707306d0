-- Those of chains of which one, besides the one named, is under way: pending and not behind another,
-- or sending.
SELECT wanted.chain
FROM unnest($1::text[], $2::bigint[]) AS wanted (chain, seq)
CROSS JOIN LATERAL (
  SELECT 1 FROM dispatcher.delivery
  WHERE delivery.chain = wanted.chain AND delivery.seq <> wanted.seq
    AND NOT blocked AND (state = 'pending' OR state = 'sending')
  LIMIT 1
) AS other
