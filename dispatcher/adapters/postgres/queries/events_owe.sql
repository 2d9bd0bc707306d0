-- New events of jobs, in the order given, and the deliveries that they owe, pending or leased: each
-- names its event by its place among those given, which get their numbers in that order.
WITH added AS (
  INSERT INTO dispatcher.event (id, caller_id, job_seq, type, sequence, at, links_base, data)
  SELECT id, caller_id, job_seq, type, sequence, at, $2::text, data
  FROM unnest($1::dispatcher.event_new[])
    WITH ORDINALITY AS new (id, caller_id, job_seq, type, sequence, at, data, place)
  ORDER BY place
  RETURNING seq, at
), numbers AS (
  SELECT array_agg(seq ORDER BY seq) AS seqs, array_agg(at ORDER BY seq) AS ats FROM added
)
INSERT INTO dispatcher.delivery (
  id, destination_seq, job_seq, event_seq, url, origin, state, lease, lease_until,
  created_at, due_at, caller_id, target_seq, chain, on_dead, blocked, endpoint_id,
  attempt_count, entries_used, unknown_count
)
SELECT
  owed.id, owed.destination_seq, owed.job_seq, numbers.seqs[owed.event], owed.url, owed.origin, owed.state,
  owed.lease, owed.lease_until, numbers.ats[owed.event], owed.due_at, owed.caller_id,
  owed.line, owed.chain, owed.on_dead, owed.blocked, owed.endpoint_id, 0, 0, 0
FROM unnest($3::dispatcher.delivery_owed[]) WITH ORDINALITY AS owed (
  id, destination_seq, job_seq, event, url, origin, state,
  lease, lease_until, due_at, caller_id, line, chain, on_dead, blocked, endpoint_id, place
)
CROSS JOIN numbers
ORDER BY owed.place
RETURNING id, seq
