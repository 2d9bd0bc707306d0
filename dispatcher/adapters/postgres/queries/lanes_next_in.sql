-- When the next of each lane is due, those that are too late left out: one seek a priority.
SELECT wanted.seq, (
  SELECT min(head.due_at)
  FROM generate_series(0, 9) AS level (priority)
  CROSS JOIN LATERAL (
    SELECT job.due_at FROM dispatcher.job
    WHERE job.lane_seq = wanted.seq
      AND job.state = 'waiting' AND job.key_place < 3
      AND job.priority = level.priority
      AND (job.late_at IS NULL OR job.late_at > $2::bigint)
    ORDER BY job.due_at, job.seq
    LIMIT 1
  ) AS head
)
FROM unnest($1::bigint[]) AS wanted (seq)
