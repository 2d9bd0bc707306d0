-- Whether anything of a destination is open.
SELECT
  EXISTS (
    SELECT 1 FROM delivery
    WHERE destination_seq = :destination_seq AND state = 'pending' AND blocked = 0
  )
  OR EXISTS (SELECT 1 FROM delivery WHERE destination_seq = :destination_seq AND blocked = 1)
  OR EXISTS (SELECT 1 FROM delivery WHERE destination_seq = :destination_seq AND state = 'sending')
