-- Queues that are paused; '' stands for all, so no text is before the first.
SELECT queue, paused_at FROM paused_queue
WHERE :after IS NULL OR queue > :after
ORDER BY queue
