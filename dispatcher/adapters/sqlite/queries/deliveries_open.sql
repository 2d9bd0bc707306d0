-- Whether anything of a destination is open.
SELECT
  EXISTS (SELECT 1 FROM delivery WHERE destination_seq = :destination_seq AND state = 'pending')
  OR EXISTS (SELECT 1 FROM delivery WHERE destination_seq = :destination_seq AND state = 'sending')
