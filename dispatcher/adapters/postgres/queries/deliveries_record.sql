-- Record what came of attempts of deliveries that are locked, and stand as the changes say.
UPDATE dispatcher.delivery AS delivery SET
  state = tried.state,
  lease = NULL,
  lease_until = NULL,
  due_at = tried.due_at,
  finished_at = tried.finished_at,
  attempt_count = delivery.attempt_count + tried.recorded,
  entries_used = delivery.entries_used + tried.used,
  unknown_count = 0
FROM unnest(
  $1::bigint[], $2::text[], $3::bigint[], $4::bigint[], $5::integer[], $6::integer[]
) AS tried (seq, state, due_at, finished_at, used, recorded)
WHERE delivery.seq = tried.seq
