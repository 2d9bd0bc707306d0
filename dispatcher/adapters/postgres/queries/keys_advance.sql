-- After the end of the fronts of keys, which are locked: of each the first received of those that are
-- behind, or due and have not joined, is the front.
UPDATE dispatcher.job AS job SET key_place = 1
FROM (
  SELECT (
    SELECT min(first.seq)
    FROM (
      (
        SELECT seq FROM dispatcher.job
        WHERE caller_id = wanted.caller_id AND ordering_key = wanted.key AND key_place = 3
        ORDER BY seq
        LIMIT 1
      )
      UNION ALL
      (
        SELECT seq FROM dispatcher.job
        WHERE caller_id = wanted.caller_id AND ordering_key = wanted.key AND key_place = 2
          AND due_at <= $3::bigint
        ORDER BY due_at, seq
        LIMIT $4::integer
      )
    ) AS first
  ) AS seq
  FROM unnest($1::text[], $2::text[]) AS wanted (caller_id, key)
) AS next
WHERE job.seq = next.seq
RETURNING job.id, job.caller_id, job.ordering_key, job.lane_seq
