-- The buckets of callers, locked until the commit.
SELECT caller_id, requests, window_seconds, full_at
FROM dispatcher.submission_rate
WHERE caller_id = ANY ($1::text[])
ORDER BY caller_id
FOR NO KEY UPDATE
