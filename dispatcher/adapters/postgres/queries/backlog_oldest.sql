-- Since when the first of each queue is due: one seek a lane and priority.
SELECT line.queue, min(head.due_at)
FROM (
  SELECT seq, queue FROM dispatcher.lane ORDER BY ready_at, seq LIMIT 1 + $1::bigint / 10
) AS line
CROSS JOIN generate_series(0, 9) AS level (priority)
CROSS JOIN LATERAL (
  SELECT min(job.due_at) AS due_at FROM dispatcher.job
  WHERE job.lane_seq = line.seq AND job.state = 'waiting' AND job.priority = level.priority
) AS head
GROUP BY line.queue
