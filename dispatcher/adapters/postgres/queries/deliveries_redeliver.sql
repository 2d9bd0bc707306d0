-- Begin a new round of deliveries that are locked. Their destinations may have been forgotten and
-- made again meanwhile.
UPDATE dispatcher.delivery AS delivery SET
  state = 'pending',
  destination_seq = again.destination_seq,
  target_seq = again.line,
  blocked = again.blocked,
  due_at = $7,
  finished_at = NULL,
  entries_used = 0,
  unknown_count = 0,
  round = again.round,
  redelivered_at = again.at,
  cancel_requested_at = NULL
FROM unnest(
  $1::bigint[], $2::bigint[], $3::bigint[], $4::boolean[], $5::integer[], $6::bigint[]
) AS again (seq, destination_seq, line, blocked, round, at)
WHERE delivery.seq = again.seq
