-- Forget lanes in which nothing waits: one is made again when it is needed.
DELETE FROM dispatcher.lane WHERE ctid = ANY (ARRAY (
  SELECT ctid FROM dispatcher.lane
  WHERE ready_at IS NULL AND paused_at IS NULL AND waiting = 0
  LIMIT $1
  FOR UPDATE SKIP LOCKED
))
