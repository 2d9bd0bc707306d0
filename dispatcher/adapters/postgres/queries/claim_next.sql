-- When something of these types can be claimed next: by a lane, but for those of some queues, or when
-- the first lease of another holder ends that holds jobs; and the number of the transaction, if it has
-- written.
SELECT
  (
    SELECT min(first.ready_at)
    FROM unnest($1::text[]) AS wanted (type)
    CROSS JOIN LATERAL (
      SELECT ready_at FROM dispatcher.lane
      WHERE type = wanted.type AND ready_at IS NOT NULL AND paused_at IS NULL
        AND queue <> ALL ($3::text[])
      ORDER BY ready_at
      LIMIT 1
    ) AS first
  ),
  (
    SELECT expires_at FROM dispatcher.holder
    WHERE id <> $2::text
      AND (
        SELECT job.seq FROM dispatcher.job
        WHERE job.holder_id = holder.id
          AND attempt_count < max_attempts AND cancel_requested_at IS NULL
        LIMIT 1
      ) IS NOT NULL
    ORDER BY expires_at
    LIMIT 1
  ),
  pg_current_xact_id_if_assigned()
