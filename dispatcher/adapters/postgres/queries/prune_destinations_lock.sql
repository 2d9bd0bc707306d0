-- Lock destinations that may be forgotten: nothing is open for them, they are neither paused nor held,
-- and no breaker has something to say, which it does for a while. Whoever has one locked may just have
-- left something there without changing its row: `prune_destinations` looks again, under the lock.
SELECT seq FROM dispatcher.destination
WHERE ready_at IS NULL AND paused_at IS NULL AND held_at IS NULL
  AND (rate_per_second IS NULL OR endpoint_id <> '')
  AND (breaker IS NULL OR breaker_at < $2::bigint)
  AND (rate_us IS NULL OR rate_us < $1::bigint * 1000)
  AND coalesce(
    (SELECT seq FROM dispatcher.target WHERE destination_seq = destination.seq LIMIT 1),
    (
      SELECT seq FROM dispatcher.delivery
      WHERE destination_seq = destination.seq AND state = 'sending'
      LIMIT 1
    ),
    (
      SELECT seq FROM dispatcher.delivery
      WHERE destination_seq = destination.seq AND state = 'pending' AND NOT blocked
      LIMIT 1
    ),
    (
      SELECT seq FROM dispatcher.delivery
      WHERE destination_seq = destination.seq AND blocked
      LIMIT 1
    )
  ) IS NULL
LIMIT $3
FOR UPDATE SKIP LOCKED
