-- Deliveries are the first of their chains now; they wait in the lines that their URLs have now.
-- They are looked for by their numbers: see `deliveries_lease`.
UPDATE dispatcher.delivery AS delivery SET blocked = FALSE, target_seq = freed.line
FROM unnest($1::bigint[], $2::bigint[]) AS freed (seq, line)
WHERE delivery.seq = freed.seq AND delivery.blocked::integer = 1
