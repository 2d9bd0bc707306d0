-- Let deliveries that are due wait in other lines. One that somebody has locked is left where it is:
-- whoever has may be waiting for its destination, which is locked here. It can't be leased either.
WITH free AS (
  SELECT delivery.seq, moved.line
  FROM unnest($1::bigint[], $2::bigint[]) AS moved (seq, line)
  JOIN dispatcher.delivery ON delivery.seq = moved.seq
  FOR NO KEY UPDATE OF delivery SKIP LOCKED
)
UPDATE dispatcher.delivery AS delivery SET target_seq = free.line
FROM free
WHERE delivery.seq = free.seq
RETURNING free.line
