-- What one holder, whose lease has ended, still holds and may be tried again: to be taken back.
-- One that was asked to cancel is left to the sweep, which ends it: it is not to run again.
SELECT seq, caller_id, queue, type FROM job
WHERE holder_id = :holder_id
  AND attempt_count < max_attempts
  AND cancel_requested_at IS NULL
ORDER BY seq
LIMIT :limit
