-- Let deliveries wait in other lines.
UPDATE dispatcher.delivery AS delivery SET target_seq = moved.line
FROM unnest($1::bigint[], $2::bigint[]) AS moved (seq, line)
WHERE delivery.seq = moved.seq
