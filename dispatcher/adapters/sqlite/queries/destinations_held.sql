-- Destinations that are held and have a delivery whose lease has ended: no claim will take it.
SELECT seq FROM destination
WHERE held_at IS NOT NULL
  AND EXISTS (
    SELECT 1 FROM delivery
    WHERE destination_seq = destination.seq AND state = 'sending' AND lease_until <= :now
      AND unknown_count < 3 AND cancel_requested_at IS NULL
  )
LIMIT :limit
