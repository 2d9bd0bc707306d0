-- The queues that are paused, by name; '' stands for all.
SELECT queue, paused_at FROM paused_queue ORDER BY queue
