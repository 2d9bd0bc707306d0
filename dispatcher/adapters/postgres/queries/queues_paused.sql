-- The queues that are paused; '' stands for all.
SELECT queue, paused_at FROM dispatcher.paused_queue
