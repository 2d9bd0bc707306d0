-- The lanes of some types in which something can be claimed, the longest unserved first. Those that
-- somebody has locked are left out.
SELECT lane.seq, lane.caller_id, lane.queue, lane.type
FROM (
  SELECT head.seq
  FROM unnest($1::text[]) AS wanted (type)
  CROSS JOIN LATERAL (
    SELECT seq, ready_at FROM dispatcher.lane
    WHERE type = wanted.type AND ready_at <= $2::bigint AND paused_at IS NULL
      AND seq <> ALL ($4::bigint[]) AND queue <> ALL ($5::text[])
    ORDER BY ready_at
    LIMIT $3::integer
  ) AS head
  ORDER BY head.ready_at, head.seq
  LIMIT $3::integer
) AS first
JOIN dispatcher.lane ON lane.seq = first.seq
WHERE lane.ready_at <= $2::bigint AND lane.paused_at IS NULL
ORDER BY lane.ready_at, lane.seq
FOR NO KEY UPDATE OF lane SKIP LOCKED
