-- A new delivery to a job's own callback URL, in no order and in its destination's own line: what is
-- left out stands as the table says. Each column that is bound takes time.
INSERT INTO delivery (
  id, destination_seq, job_seq, event_seq, url, origin, state, lease, lease_until,
  created_at, due_at, caller_id, attempt_count, entries_used, unknown_count
) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 0, 0, 0)
