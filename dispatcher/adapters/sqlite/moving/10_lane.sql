-- Where jobs wait.
SELECT seq, caller_id, queue, type, ready_at, paused_at, waiting, waiting_bytes FROM lane
WHERE seq > coalesce(:after, 0)
ORDER BY seq
