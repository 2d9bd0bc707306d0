-- Deliveries.
SELECT
  seq, id, destination_seq, job_seq, event_seq, endpoint_id, url, origin, state, lease,
  lease_until, created_at, due_at, finished_at, attempt_count, entries_used, unknown_count,
  first_lease, first_number, first_at, first_duration_ms, first_status_code, first_error,
  first_body, caller_id, round, redelivered_at, cancel_requested_at, target_seq, chain, on_dead,
  blocked, retried
FROM delivery
WHERE seq > coalesce(:after, 0)
ORDER BY seq
