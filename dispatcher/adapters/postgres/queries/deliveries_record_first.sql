-- Record what came of first attempts, which live in the deliveries' own rows.
UPDATE dispatcher.delivery AS delivery SET
  state = tried.state,
  lease = NULL,
  lease_until = NULL,
  due_at = tried.due_at,
  finished_at = tried.finished_at,
  attempt_count = 1,
  retried = TRUE,
  entries_used = delivery.entries_used + tried.used,
  unknown_count = 0,
  first_lease = delivery.lease,
  first_number = tried.number,
  first_at = tried.at,
  first_duration_ms = tried.duration_ms,
  first_status_code = tried.status_code,
  first_error = tried.error,
  first_body = tried.body
FROM unnest(
  $1::bigint[], $2::text[], $3::bigint[], $4::bigint[], $5::integer[],
  $6::integer[], $7::bigint[], $8::bigint[], $9::integer[], $10::text[], $11::bytea[]
) AS tried (
  seq, state, due_at, finished_at, used, number, at, duration_ms, status_code, error, body
)
WHERE delivery.seq = tried.seq
