-- Forget destinations for which nothing is open: one is made again when it is needed.
DELETE FROM dispatcher.destination WHERE ctid = ANY (ARRAY (
  SELECT ctid FROM dispatcher.destination
  WHERE ready_at IS NULL
    AND NOT EXISTS (
      SELECT 1 FROM dispatcher.delivery
      WHERE delivery.destination_seq = destination.seq AND delivery.state = 'sending'
    )
    AND NOT EXISTS (
      SELECT 1 FROM dispatcher.delivery
      WHERE delivery.destination_seq = destination.seq AND delivery.state = 'pending'
    )
  LIMIT $1
  FOR UPDATE SKIP LOCKED
))
