-- The deliveries of each destination to be sent now, the oldest due first: pending ones, and those
-- whose lease has ended and that are to be sent again at once.
SELECT wanted.seq, head.seq
FROM unnest($1::bigint[], $2::integer[]) WITH ORDINALITY AS wanted (seq, most, place)
CROSS JOIN LATERAL (
  SELECT due_at, seq FROM (
    (
      SELECT due_at, seq FROM dispatcher.delivery
      WHERE destination_seq = wanted.seq AND state = 'pending' AND due_at <= $3::bigint
      ORDER BY due_at, seq
      LIMIT wanted.most
    )
    UNION ALL
    (
      SELECT due_at, seq FROM dispatcher.delivery
      WHERE destination_seq = wanted.seq AND state = 'sending' AND lease_until <= $3::bigint
        AND unknown_count < 3 AND cancel_requested_at IS NULL
      ORDER BY lease_until
      LIMIT wanted.most
    )
  ) AS due
  ORDER BY due_at, seq
  LIMIT wanted.most
) AS head
ORDER BY wanted.place, head.due_at, head.seq
