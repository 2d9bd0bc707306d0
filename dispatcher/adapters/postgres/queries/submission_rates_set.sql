-- What is left in the buckets of callers.
UPDATE dispatcher.submission_rate AS kept
SET requests = new.requests, window_seconds = new.window_seconds, full_at = new.full_at
FROM unnest($1::text[], $2::bigint[], $3::int[], $4::numeric[])
  AS new (caller_id, requests, window_seconds, full_at)
WHERE kept.caller_id = new.caller_id
