-- As `lanes_ready`, without the queues (a JSON array) of which as many run as may.
SELECT ready_at, seq, caller_id, queue, type FROM lane
WHERE type = :type AND ready_at <= :now AND paused_at IS NULL
  AND queue NOT IN (SELECT value FROM json_each(:full))
ORDER BY ready_at, seq
LIMIT :limit
