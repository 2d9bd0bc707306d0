-- The jobs of a lane to be claimed now, best first. The first few due of each priority are enough:
-- within one priority the order is that of the index. `rank` is the due time moved by ageing.
SELECT job.due_at - job.priority * :ageing_ms AS rank, job.seq, job.key_place
FROM (VALUES (0), (1), (2), (3), (4), (5), (6), (7), (8), (9)) AS level
CROSS JOIN job ON job.seq IN (
  SELECT head.seq FROM job AS head
  WHERE head.lane_seq = :lane_seq
    AND head.state = 'waiting'
    AND head.key_place < 3
    AND head.priority = level.column1
    AND head.due_at <= :now
    AND (head.late_at IS NULL OR head.late_at > :now)
  ORDER BY head.due_at, head.seq
  LIMIT :limit
)
ORDER BY rank, job.seq
LIMIT :limit
