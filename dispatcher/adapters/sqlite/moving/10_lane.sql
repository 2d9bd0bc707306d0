-- Where jobs wait. Here a lane is also paused when all are; there it is marked for its own queue alone,
-- and what holds for all is looked up.
SELECT
  seq, caller_id, queue, type, ready_at,
  (SELECT paused_at FROM paused_queue WHERE queue = lane.queue) AS paused_at, waiting, waiting_bytes
FROM lane
WHERE seq > coalesce(:after, 0)
ORDER BY seq
