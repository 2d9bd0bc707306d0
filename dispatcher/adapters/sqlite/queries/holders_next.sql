-- When the first lease of another holder that holds jobs ends: then they can be claimed.
SELECT expires_at FROM holder
WHERE id <> :id
  AND EXISTS (
    SELECT 1 FROM job
    WHERE job.holder_id = holder.id AND attempt_count < max_attempts AND cancel_requested_at IS NULL
  )
ORDER BY expires_at
LIMIT 1
