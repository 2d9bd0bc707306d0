-- Note that a delivery is not to be tried again after the attempt under way.
UPDATE delivery SET cancel_requested_at = :at
WHERE id = :id AND state = 'sending' AND cancel_requested_at IS NULL
