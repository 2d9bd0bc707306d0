-- Since when the first of each queue is due: one seek a lane.
SELECT line.queue, min(head.due_at)
FROM (
  SELECT seq, queue FROM dispatcher.lane ORDER BY ready_at, seq LIMIT 1 + $1::bigint / 10
) AS line
CROSS JOIN LATERAL (
  SELECT min(job.due_at) AS due_at FROM dispatcher.job
  WHERE job.lane_seq = line.seq AND job.state = 'waiting'
) AS head
GROUP BY line.queue
