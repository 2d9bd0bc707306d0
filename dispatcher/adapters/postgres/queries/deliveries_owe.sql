-- Deliveries of events that are written already, pending or leased.
INSERT INTO dispatcher.delivery (
  id, destination_seq, job_seq, event_seq, url, origin, state, lease, lease_until,
  created_at, due_at, caller_id, target_seq, chain, on_dead, blocked, endpoint_id,
  attempt_count, entries_used, unknown_count
)
SELECT
  owed.id, owed.destination_seq, owed.job_seq, event.seq, owed.url, owed.origin, owed.state,
  owed.lease, owed.lease_until, event.at, owed.due_at, owed.caller_id,
  owed.line, owed.chain, owed.on_dead, owed.blocked, owed.endpoint_id, 0, 0, 0
FROM unnest(
  $1::text[], $2::bigint[], $3::bigint[], $4::text[], $5::text[], $6::text[], $7::text[],
  $8::text[], $9::bigint[], $10::bigint[], $11::text[], $12::bigint[], $13::text[], $14::text[],
  $15::boolean[], $16::text[]
) WITH ORDINALITY AS owed (
  id, destination_seq, job_seq, event_id, url, origin, state,
  lease, lease_until, due_at, caller_id, line, chain, on_dead, blocked, endpoint_id, place
)
JOIN dispatcher.event ON event.id = owed.event_id
ORDER BY owed.place
