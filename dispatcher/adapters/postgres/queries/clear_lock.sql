-- Lock what is open of endpoints, in the order of all locks of deliveries: so many of those that wait,
-- and what is being sent and was not asked to cancel yet.
SELECT delivery.seq FROM dispatcher.delivery
WHERE delivery.seq = ANY (ARRAY (
  (
    SELECT pending.seq FROM dispatcher.destination
    CROSS JOIN LATERAL (
      SELECT seq FROM dispatcher.delivery
      WHERE destination_seq = destination.seq AND state = 'pending' AND NOT blocked
      LIMIT $2::integer
    ) AS pending
    WHERE destination.endpoint_id = ANY ($1::text[]) AND destination.endpoint_id <> ''
    UNION ALL
    SELECT blocked.seq FROM dispatcher.destination
    CROSS JOIN LATERAL (
      SELECT seq FROM dispatcher.delivery
      WHERE destination_seq = destination.seq AND blocked
      LIMIT $2::integer
    ) AS blocked
    WHERE destination.endpoint_id = ANY ($1::text[]) AND destination.endpoint_id <> ''
    LIMIT $2::integer
  )
  UNION ALL
  SELECT sending.seq FROM dispatcher.destination
  CROSS JOIN LATERAL (
    SELECT seq FROM dispatcher.delivery
    WHERE destination_seq = destination.seq AND state = 'sending' AND cancel_requested_at IS NULL
    OFFSET 0
  ) AS sending
  WHERE destination.endpoint_id = ANY ($1::text[]) AND destination.endpoint_id <> ''
))
ORDER BY delivery.seq
FOR NO KEY UPDATE
