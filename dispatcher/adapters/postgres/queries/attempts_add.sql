-- Later attempts.
INSERT INTO dispatcher.attempt (
  delivery_seq, lease, number, at, duration_ms, status_code, error, body
)
SELECT * FROM unnest(
  $1::bigint[], $2::text[], $3::integer[], $4::bigint[], $5::bigint[], $6::integer[], $7::text[],
  $8::bytea[]
)
