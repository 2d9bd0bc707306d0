-- Forget destinations for which nothing is open: one is made again when it is needed. One that is
-- paused or held stays, and so does for a while one with a breaker that has something to say. That of
-- an endpoint gets the endpoint's rate when it is made again.
DELETE FROM dispatcher.destination WHERE ctid = ANY (ARRAY (
  SELECT ctid FROM dispatcher.destination
  WHERE ready_at IS NULL AND paused_at IS NULL AND held_at IS NULL
    AND (rate_per_second IS NULL OR endpoint_id <> '')
    AND (breaker IS NULL OR breaker_at < $2::bigint)
    AND (rate_us IS NULL OR rate_us < $1::bigint * 1000)
    AND NOT EXISTS (
      SELECT 1 FROM dispatcher.target WHERE target.destination_seq = destination.seq
    )
    AND NOT EXISTS (
      SELECT 1 FROM dispatcher.delivery
      WHERE delivery.destination_seq = destination.seq AND delivery.state = 'sending'
    )
    AND NOT EXISTS (
      SELECT 1 FROM dispatcher.delivery
      WHERE delivery.destination_seq = destination.seq AND delivery.state = 'pending'
        AND NOT delivery.blocked
    )
    AND NOT EXISTS (
      SELECT 1 FROM dispatcher.delivery
      WHERE delivery.destination_seq = destination.seq AND delivery.blocked
    )
  LIMIT $3
  FOR UPDATE SKIP LOCKED
))
