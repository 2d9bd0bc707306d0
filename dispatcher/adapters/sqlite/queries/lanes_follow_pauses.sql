-- Each lane is paused as its queue is. Lanes are few: as many as (caller, queue, type) in use.
UPDATE lane SET paused_at = (
  SELECT min(paused_at) FROM paused_queue WHERE queue IN ('', lane.queue)
)
WHERE paused_at IS NOT (
  SELECT min(paused_at) FROM paused_queue WHERE queue IN ('', lane.queue)
)
