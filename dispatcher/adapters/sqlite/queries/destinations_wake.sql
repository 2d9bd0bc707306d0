-- Have every destination looked at that has something sending.
UPDATE destination SET ready_at = :now
WHERE (ready_at IS NULL OR ready_at > :now)
  AND EXISTS (
    SELECT 1 FROM delivery WHERE delivery.destination_seq = destination.seq AND state = 'sending'
  )
