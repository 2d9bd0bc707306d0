-- The same, locked or not.
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
