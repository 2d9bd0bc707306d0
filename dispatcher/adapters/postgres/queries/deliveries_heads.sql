-- The deliveries of each destination's own line to be sent now, first attempts and retries apart, the
-- oldest due first: pending ones, and those whose lease has ended and that are to be sent again at
-- once.
SELECT wanted.seq, head.seq, kind.retried
FROM unnest($1::bigint[], $2::integer[]) WITH ORDINALITY AS wanted (seq, most, place)
CROSS JOIN (VALUES (FALSE), (TRUE)) AS kind (retried)
CROSS JOIN LATERAL (
  SELECT due_at, seq FROM (
    (
      SELECT due_at, seq FROM dispatcher.delivery
      WHERE destination_seq = wanted.seq AND target_seq = 0 AND retried = kind.retried
        AND due_at <= $3::bigint AND state = 'pending' AND NOT blocked
      ORDER BY due_at, seq
      LIMIT wanted.most
    )
    UNION ALL
    (
      SELECT due_at, seq FROM dispatcher.delivery
      WHERE destination_seq = wanted.seq AND state = 'sending' AND lease_until <= $3::bigint
        AND unknown_count < 3 AND cancel_requested_at IS NULL
        AND target_seq = 0 AND retried = kind.retried
      ORDER BY lease_until
      LIMIT wanted.most
    )
  ) AS due
  ORDER BY due_at, seq
  LIMIT wanted.most
) AS head
ORDER BY wanted.place, kind.retried, head.due_at, head.seq
