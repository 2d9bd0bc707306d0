-- How many jobs of each queue are due, and how many wait for their time. It ends at so many rows;
-- the lanes longest unserved come first.
SELECT queue, sum(due_at <= :now), sum(due_at > :now)
FROM (
  SELECT line.queue, job.due_at
  FROM (
    SELECT seq, queue FROM lane ORDER BY ready_at IS NULL, ready_at, seq LIMIT :most
  ) AS line
  CROSS JOIN job ON job.lane_seq = line.seq AND job.state = 'waiting'
  LIMIT :most
)
GROUP BY queue
