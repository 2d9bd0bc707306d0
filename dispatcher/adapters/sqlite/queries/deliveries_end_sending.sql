-- What is being sent to an endpoint that was deleted is not tried again; what nobody sends any more
-- (its lease has ended) the sweep will find.
UPDATE delivery SET cancel_requested_at = :at
WHERE destination_seq = :destination_seq AND state = 'sending' AND cancel_requested_at IS NULL
