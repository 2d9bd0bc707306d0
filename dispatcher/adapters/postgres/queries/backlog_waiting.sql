-- How many jobs of each queue are due, and how many wait for their time. It ends at so many rows;
-- the lanes longest unserved come first.
SELECT queue, count(*) FILTER (WHERE due_at <= $1), count(*) FILTER (WHERE due_at > $1)
FROM (
  SELECT line.queue, job.due_at
  FROM (
    SELECT seq, queue FROM dispatcher.lane ORDER BY ready_at, seq LIMIT $2
  ) AS line
  CROSS JOIN LATERAL (
    SELECT due_at FROM dispatcher.job
    WHERE lane_seq = line.seq AND state = 'waiting'
    LIMIT $2
  ) AS job
  LIMIT $2
) AS counted
GROUP BY queue
