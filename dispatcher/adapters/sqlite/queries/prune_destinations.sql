-- Forget destinations for which nothing is open: one is made again when it is needed. One that is
-- paused or held stays, and so does for a while one with a breaker that has something to say. That of
-- an endpoint gets the endpoint's rate when it is made again.
DELETE FROM destination WHERE seq IN (
  SELECT seq FROM destination
  WHERE ready_at IS NULL AND paused_at IS NULL AND held_at IS NULL
    AND (rate_per_second IS NULL OR endpoint_id <> '')
    AND (breaker IS NULL OR breaker_at < :open_since)
    AND (rate_us IS NULL OR rate_us < :now * 1000)
    AND NOT EXISTS (SELECT 1 FROM target WHERE target.destination_seq = destination.seq)
    AND NOT EXISTS (
      SELECT 1 FROM delivery WHERE delivery.destination_seq = destination.seq AND state = 'sending'
    )
    AND NOT EXISTS (
      SELECT 1 FROM delivery
      WHERE delivery.destination_seq = destination.seq AND state = 'pending' AND blocked = 0
    )
    AND NOT EXISTS (
      SELECT 1 FROM delivery WHERE delivery.destination_seq = destination.seq AND blocked = 1
    )
  LIMIT :limit
)
