-- Since when a queue is paused, by itself or with all; NULL: it is not.
SELECT min(paused_at) FROM paused_queue WHERE queue IN ('', ?)
