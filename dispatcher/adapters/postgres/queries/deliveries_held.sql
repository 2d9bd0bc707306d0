-- Deliveries of held destinations whose lease has ended: no claim will take them.
SELECT lost.seq, destination.caller_id, destination.origin, destination.endpoint_id
FROM dispatcher.destination
CROSS JOIN LATERAL (
  SELECT seq FROM dispatcher.delivery
  WHERE destination_seq = destination.seq AND state = 'sending' AND lease_until <= $1::bigint
    AND unknown_count < 3 AND cancel_requested_at IS NULL
) AS lost
WHERE destination.held_at IS NOT NULL
LIMIT $2
