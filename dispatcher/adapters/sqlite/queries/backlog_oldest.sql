-- Since when the first of each queue is due: one seek a lane and priority, and one a lane for those
-- that stand behind others of their key.
SELECT line.queue, min(min(
  coalesce((
    SELECT min(job.due_at) FROM job
    WHERE job.lane_seq = line.seq AND job.state = 'waiting' AND job.key_place < 3
      AND job.priority = level.column1
  ), 9223372036854775807),
  coalesce((
    SELECT min(job.due_at) FROM job
    WHERE job.lane_seq = line.seq AND job.key_place = 3
  ), 9223372036854775807)
))
FROM (
  SELECT seq, queue FROM lane ORDER BY ready_at IS NULL, ready_at, seq LIMIT 1 + :most / 10
) AS line
CROSS JOIN (VALUES (0), (1), (2), (3), (4), (5), (6), (7), (8), (9)) AS level
GROUP BY line.queue
