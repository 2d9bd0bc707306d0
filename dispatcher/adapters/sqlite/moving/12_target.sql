-- URLs that have failed.
SELECT
  seq, destination_seq, url, breaker, breaker_state, open_until, breaker_at, ready_at
FROM target
WHERE seq > coalesce(:after, 0)
ORDER BY seq
