-- Lease a delivery. One that was sending counts an attempt of unknown outcome.
UPDATE delivery SET
  unknown_count = unknown_count + (state = 'sending'),
  state = 'sending',
  lease = :lease,
  lease_until = :until
WHERE seq = :seq
  AND (
    state = 'pending'
    OR (
      state = 'sending' AND lease_until <= :now AND unknown_count < 3
      AND cancel_requested_at IS NULL
    )
  )
