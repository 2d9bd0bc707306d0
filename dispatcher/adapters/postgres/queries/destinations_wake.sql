-- Have every destination looked at that has something sending.
UPDATE dispatcher.destination AS destination SET ready_at = $1
WHERE (ready_at IS NULL OR ready_at > $1)
  AND EXISTS (
    SELECT 1 FROM dispatcher.delivery
    WHERE delivery.destination_seq = destination.seq AND delivery.state = 'sending'
  )
