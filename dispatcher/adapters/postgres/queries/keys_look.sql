-- Of each key, which is locked, the jobs that may be its front: the one that is, and those that are due
-- and have not joined, the first due first.
SELECT wanted.caller_id, wanted.key, found.seq, found.is_front, found.begun
FROM unnest($1::text[], $2::text[]) AS wanted (caller_id, key)
CROSS JOIN LATERAL (
  (
    SELECT seq, TRUE AS is_front, started_at IS NOT NULL AS begun FROM dispatcher.job
    WHERE caller_id = wanted.caller_id AND ordering_key = wanted.key AND key_place = 1
  )
  UNION ALL
  (
    SELECT seq, FALSE, FALSE FROM dispatcher.job
    WHERE caller_id = wanted.caller_id AND ordering_key = wanted.key AND key_place = 2
      AND due_at <= $3::bigint
    ORDER BY due_at, seq
    LIMIT $4::integer
  )
) AS found
