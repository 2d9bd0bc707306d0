-- The destinations for which something can be sent, the longest unserved first; none of the callers
-- named, who are passed over in the index.
SELECT seq, caller_id FROM destination
WHERE ready_at <= :now AND paused_at IS NULL AND held_at IS NULL
  AND (:full IS NULL OR caller_id NOT IN (SELECT value FROM json_each(:full)))
ORDER BY ready_at, seq
LIMIT :limit
