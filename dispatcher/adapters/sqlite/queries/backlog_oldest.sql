-- Since when the first of each queue is due: one seek a lane and priority.
SELECT line.queue, min((
  SELECT min(job.due_at) FROM job
  WHERE job.lane_seq = line.seq AND job.state = 'waiting' AND job.priority = level.column1
))
FROM (
  SELECT seq, queue FROM lane ORDER BY ready_at IS NULL, ready_at, seq LIMIT 1 + :most / 10
) AS line
CROSS JOIN (VALUES (0), (1), (2), (3), (4), (5), (6), (7), (8), (9)) AS level
GROUP BY line.queue
