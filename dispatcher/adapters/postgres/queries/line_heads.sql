-- The same of one line of a destination.
SELECT head.seq, kind.retried
FROM (VALUES (FALSE), (TRUE)) AS kind (retried)
CROSS JOIN LATERAL (
  SELECT due_at, seq FROM (
    (
      SELECT due_at, seq FROM dispatcher.delivery
      WHERE destination_seq = $1::bigint AND target_seq = $2::bigint AND retried = kind.retried
        AND due_at <= $3::bigint AND state = 'pending' AND NOT blocked
      ORDER BY due_at, seq
      LIMIT $4::integer
    )
    UNION ALL
    (
      SELECT due_at, seq FROM dispatcher.delivery
      WHERE destination_seq = $1::bigint AND state = 'sending' AND lease_until <= $3::bigint
        AND unknown_count < 3 AND cancel_requested_at IS NULL
        AND target_seq = $2::bigint AND retried = kind.retried
      ORDER BY lease_until
      LIMIT $4::integer
    )
  ) AS due
  ORDER BY due_at, seq
  LIMIT $4::integer
) AS head
ORDER BY kind.retried, head.due_at, head.seq
