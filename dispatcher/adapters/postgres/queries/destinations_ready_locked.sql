-- The same, locked or not.
(
  SELECT seq FROM dispatcher.destination
  WHERE ready_at <= $1::bigint AND paused_at IS NULL AND held_at IS NULL
    AND caller_id <> ALL ($5::text[]) AND seq <> ALL ($4::bigint[])
  ORDER BY ready_at, seq
  LIMIT $3::integer
)
UNION
(
  SELECT seq FROM dispatcher.destination
  WHERE full_slots < $2::integer AND paused_at IS NULL AND held_at IS NULL
    AND caller_id <> ALL ($5::text[]) AND seq <> ALL ($4::bigint[])
  ORDER BY full_slots
  LIMIT $3::integer
)
