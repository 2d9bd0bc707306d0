-- Registered endpoints.
SELECT
  seq, id, caller_id, url, origin, events, headers, sealed_headers, schedule, ordered,
  rate_limit, created_at, failing_since, disabled_at, disabled_reason, version, deleted_at
FROM endpoint
WHERE seq > coalesce(:after, 0)
ORDER BY seq
