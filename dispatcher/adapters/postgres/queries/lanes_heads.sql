-- The jobs of each lane to be claimed now, best first. The first few due of each priority are enough:
-- within one priority the order is that of the index. `rank` is the due time moved by ageing.
SELECT wanted.seq, best.rank, best.seq, best.key_place
FROM unnest($1::bigint[], $2::integer[]) AS wanted (seq, most)
CROSS JOIN LATERAL (
  SELECT head.due_at - level.priority * $4::bigint AS rank, head.seq, head.key_place
  FROM generate_series(0, 9) AS level (priority)
  CROSS JOIN LATERAL (
    SELECT job.due_at, job.seq, job.key_place FROM dispatcher.job
    WHERE job.lane_seq = wanted.seq
      AND job.state = 'waiting' AND job.key_place < 3
      AND job.priority = level.priority
      AND job.due_at <= $3::bigint
      AND (job.late_at IS NULL OR job.late_at > $3::bigint)
    ORDER BY job.due_at, job.seq
    LIMIT wanted.most
  ) AS head
  ORDER BY rank, head.seq
  LIMIT wanted.most
) AS best
