-- Have those of a held destination whose lease has ended wait with the others, as a claim would have
-- counted them: so they die of age as well.
UPDATE delivery SET
  state = 'pending', lease = NULL, lease_until = NULL, unknown_count = unknown_count + 1
WHERE destination_seq = :destination_seq AND state = 'sending' AND lease_until <= :now
  AND unknown_count < 3 AND cancel_requested_at IS NULL
