-- The lanes of those that may become fronts when so many jobs of keys, which are locked, end.
SELECT job.caller_id, job.queue, job.type
FROM unnest($1::text[], $2::text[], $3::integer[]) AS wanted (caller_id, key, most)
CROSS JOIN LATERAL (
  SELECT behind.caller_id, behind.queue, behind.type FROM dispatcher.job AS behind
  WHERE behind.caller_id = wanted.caller_id AND behind.ordering_key = wanted.key
    AND behind.key_place = 3
  ORDER BY behind.seq
  LIMIT wanted.most
) AS job
