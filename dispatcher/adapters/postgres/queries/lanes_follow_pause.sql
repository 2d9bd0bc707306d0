-- The lanes of a queue are paused as it is, in the order of all locks of lanes.
WITH locked AS (
  SELECT lane.seq FROM dispatcher.lane
  WHERE lane.queue = $1::text
  ORDER BY lane.caller_id COLLATE "C", lane.queue COLLATE "C", lane.type COLLATE "C"
  FOR NO KEY UPDATE
)
UPDATE dispatcher.lane AS lane SET
  paused_at = (SELECT paused_at FROM dispatcher.paused_queue WHERE queue = $1::text)
FROM locked
WHERE lane.seq = locked.seq
