-- Of each key, which is locked: whether it has a front, and whether one that has not joined is due.
SELECT
  wanted.caller_id,
  wanted.key,
  (
    SELECT seq FROM dispatcher.job
    WHERE caller_id = wanted.caller_id AND ordering_key = wanted.key AND key_place = 1
    LIMIT 1
  ) IS NOT NULL,
  (
    SELECT seq FROM dispatcher.job
    WHERE caller_id = wanted.caller_id AND ordering_key = wanted.key AND key_place = 2
      AND due_at <= $3::bigint
    LIMIT 1
  ) IS NOT NULL
FROM unnest($1::text[], $2::text[]) AS wanted (caller_id, key)
