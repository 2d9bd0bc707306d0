-- Forget destinations for which nothing is open: one is made again when it is needed.
DELETE FROM destination WHERE seq IN (
  SELECT seq FROM destination
  WHERE ready_at IS NULL
    AND NOT EXISTS (
      SELECT 1 FROM delivery WHERE delivery.destination_seq = destination.seq AND state = 'sending'
    )
    AND NOT EXISTS (
      SELECT 1 FROM delivery WHERE delivery.destination_seq = destination.seq AND state = 'pending'
    )
  LIMIT :limit
)
