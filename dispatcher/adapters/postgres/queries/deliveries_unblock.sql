-- Deliveries are the first of their chains now; they wait in the lines that their URLs have now.
-- One that somebody has locked is passed over, and not among the answers: whoever has may be waiting
-- for its destination, which is locked here. They are looked for by their numbers: see
-- `deliveries_lease`.
WITH free AS (
  SELECT delivery.seq, freed.line
  FROM unnest($1::bigint[], $2::bigint[]) AS freed (seq, line)
  JOIN dispatcher.delivery ON delivery.seq = freed.seq
  FOR NO KEY UPDATE OF delivery SKIP LOCKED
), first AS (
  UPDATE dispatcher.delivery AS delivery SET blocked = FALSE, target_seq = free.line
  FROM free
  WHERE delivery.seq = free.seq AND delivery.blocked::integer = 1
)
SELECT seq FROM free
