-- When something of a target's line of destinations can be sent next.
SELECT wanted.seq, first.ready_at
FROM unnest($1::bigint[]) AS wanted (seq)
CROSS JOIN LATERAL (
  SELECT min(ready_at) AS ready_at FROM dispatcher.target
  WHERE destination_seq = wanted.seq AND ready_at IS NOT NULL
) AS first
