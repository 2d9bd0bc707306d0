-- New events of jobs, in the order given, and the deliveries that they owe, pending or leased.
WITH added AS (
  INSERT INTO dispatcher.event (id, job_seq, type, sequence, at, links_base, data)
  SELECT id, job_seq, type, sequence, at, $7::text, data
  FROM unnest($1::text[], $2::bigint[], $3::text[], $4::bigint[], $5::bigint[], $6::bytea[])
    WITH ORDINALITY AS new (id, job_seq, type, sequence, at, data, place)
  ORDER BY place
  RETURNING seq, id, at
)
INSERT INTO dispatcher.delivery (
  id, destination_seq, job_seq, event_seq, url, origin, state, lease, lease_until,
  created_at, due_at, caller_id, attempt_count, entries_used, unknown_count
)
SELECT
  owed.id, owed.destination_seq, owed.job_seq, added.seq, owed.url, owed.origin, owed.state,
  owed.lease, owed.lease_until, added.at, owed.due_at, owed.caller_id, 0, 0, 0
FROM unnest(
  $8::text[], $9::bigint[], $10::bigint[], $11::text[], $12::text[], $13::text[], $14::text[],
  $15::text[], $16::bigint[], $17::bigint[], $18::text[]
) WITH ORDINALITY AS owed (
  id, destination_seq, job_seq, event_id, url, origin, state,
  lease, lease_until, due_at, caller_id, place
)
JOIN added ON added.id = owed.event_id
ORDER BY owed.place
