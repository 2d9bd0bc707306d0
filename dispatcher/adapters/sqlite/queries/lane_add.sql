-- A new lane, paused if its queue is.
INSERT INTO lane (caller_id, queue, type, ready_at, paused_at)
VALUES (
  :caller_id, :queue, :type, :ready_at,
  (SELECT min(paused_at) FROM paused_queue WHERE queue IN ('', :queue))
)
RETURNING seq
