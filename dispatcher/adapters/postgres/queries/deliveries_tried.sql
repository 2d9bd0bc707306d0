-- Record what came of first attempts at deliveries that stand as they were leased, in their own rows.
-- Those that have changed since are left out: they are read under their locks instead.
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
FROM unnest($1::dispatcher.delivery_tried[]) AS tried
WHERE delivery.id = tried.id AND delivery.lease = tried.lease AND delivery.lease_until = tried.until
  AND delivery.attempt_count = 0 AND delivery.cancel_requested_at IS NULL
  AND delivery.endpoint_id IS NULL AND delivery.chain IS NULL AND delivery.target_seq = 0
RETURNING delivery.id, delivery.seq
