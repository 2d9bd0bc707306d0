-- A new delivery, pending or leased at once.
INSERT INTO delivery (
  id, destination_seq, job_seq, event_seq, url, origin, state, lease, lease_until,
  created_at, due_at, caller_id, endpoint_id, target_seq, chain, on_dead, blocked,
  attempt_count, entries_used, unknown_count
) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 0, 0, 0)
