-- The destinations for which something can be sent, the longest unserved first.
SELECT seq FROM destination
WHERE ready_at <= :now AND held_at IS NULL
ORDER BY ready_at, seq
LIMIT :limit
