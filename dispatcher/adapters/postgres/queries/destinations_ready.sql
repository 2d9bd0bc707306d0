-- The destinations for which something can be sent, the longest unserved first, and those that were
-- full for a claim with fewer slots; none of the callers named. Those that somebody has locked are
-- left out.
WITH ready AS (
  SELECT seq, caller_id, origin, endpoint_id, ready_at FROM dispatcher.destination
  WHERE ready_at <= $1::bigint AND paused_at IS NULL AND held_at IS NULL
    AND caller_id <> ALL ($5::text[]) AND seq <> ALL ($4::bigint[])
  ORDER BY ready_at, seq
  LIMIT $3::integer
  FOR NO KEY UPDATE SKIP LOCKED
), fuller AS (
  SELECT seq, caller_id, origin, endpoint_id, ready_at FROM dispatcher.destination
  WHERE full_slots < $2::integer AND paused_at IS NULL AND held_at IS NULL
    AND caller_id <> ALL ($5::text[]) AND seq <> ALL ($4::bigint[])
  ORDER BY full_slots
  LIMIT $3::integer
  FOR NO KEY UPDATE SKIP LOCKED
)
SELECT seq, caller_id, origin, endpoint_id, ready_at FROM ready
UNION
SELECT seq, caller_id, origin, endpoint_id, ready_at FROM fuller
ORDER BY ready_at, seq
