-- When something can be sent next, nothing of the callers named counts; and the number of the
-- transaction, if it has written.
SELECT
  (
    SELECT ready_at FROM dispatcher.destination
    WHERE ready_at IS NOT NULL AND paused_at IS NULL AND held_at IS NULL
      AND caller_id <> ALL ($1::text[])
    ORDER BY ready_at
    LIMIT 1
  ),
  pg_current_xact_id_if_assigned()
