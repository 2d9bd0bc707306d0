-- How many jobs of each queue are due, and how many wait for their time. It ends at so many rows;
-- the lanes longest unserved come first, and those that stand behind others of their key last.
SELECT queue, sum(due_at <= :now), sum(due_at > :now)
FROM (
  SELECT * FROM (
    SELECT line.queue, job.due_at
    FROM (
      SELECT seq, queue FROM lane ORDER BY ready_at IS NULL, ready_at, seq LIMIT :most
    ) AS line
    CROSS JOIN job ON job.lane_seq = line.seq AND job.state = 'waiting' AND job.key_place < 3
    LIMIT :most
  )
  UNION ALL
  SELECT * FROM (
    SELECT line.queue, job.due_at
    FROM (
      SELECT seq, queue FROM lane ORDER BY ready_at IS NULL, ready_at, seq LIMIT :most
    ) AS line
    CROSS JOIN job ON job.lane_seq = line.seq AND job.key_place = 3
    LIMIT :most
  )
  LIMIT :most
)
GROUP BY queue
