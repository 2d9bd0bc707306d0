-- A destination by its id, with how it stands. What waits is counted up to so many.
SELECT
  destination.seq, destination.id, destination.caller_id, destination.origin,
  destination.endpoint_id, destination.breaker, destination.paused_at, destination.held_at,
  (
    SELECT count(*) FROM dispatcher.delivery
    WHERE destination_seq = destination.seq AND state = 'sending' AND lease_until > $1
  ),
  line.waiting, line.due, line.oldest_at,
  (
    SELECT count(*) FROM dispatcher.target
    WHERE destination_seq = destination.seq AND breaker_state <> 'closed'
  )
FROM dispatcher.destination
CROSS JOIN LATERAL (
  SELECT
    count(*) AS waiting,
    count(*) FILTER (WHERE due_at <= $1) AS due,
    min(due_at) AS oldest_at
  FROM (
    SELECT due_at FROM dispatcher.delivery
    WHERE destination_seq = destination.seq AND state = 'pending' AND NOT blocked
    LIMIT $2
  ) AS counted
) AS line
WHERE destination.id = $3
