-- The lanes of one type in which something can be claimed, the longest unserved first.
SELECT ready_at, seq, caller_id, queue, type FROM lane
WHERE type = :type AND ready_at <= :now AND paused_at IS NULL
ORDER BY ready_at, seq
LIMIT :limit
