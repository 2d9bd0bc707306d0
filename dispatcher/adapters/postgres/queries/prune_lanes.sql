-- Forget lanes in which nothing waits: one is made again when it is needed.
DELETE FROM dispatcher.lane WHERE seq IN (
  SELECT seq FROM dispatcher.lane
  WHERE ready_at IS NULL AND paused_at IS NULL AND waiting = 0
  LIMIT $1
  FOR UPDATE SKIP LOCKED
)
