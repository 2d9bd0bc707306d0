-- When something can be sent next; nothing of the callers named counts.
SELECT ready_at FROM destination
WHERE ready_at IS NOT NULL AND paused_at IS NULL AND held_at IS NULL
  AND (:full IS NULL OR caller_id NOT IN (SELECT value FROM json_each(:full)))
ORDER BY ready_at
LIMIT 1
