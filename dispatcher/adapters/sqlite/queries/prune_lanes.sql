-- Forget lanes in which nothing waits: one is made again when it is needed.
DELETE FROM lane WHERE seq IN (
  SELECT seq FROM lane
  WHERE ready_at IS NULL AND paused_at IS NULL AND waiting = 0
  LIMIT :limit
)
