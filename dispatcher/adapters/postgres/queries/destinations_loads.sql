-- The clock (PostgreSQL's own, unless it is told), the transaction's number, and how destinations
-- stand: leases that are alive and when the first of them ends; when the first of their own lines is
-- due, a first attempt or a retry; when the first lease ends of what is to be sent again then (not if
-- it is the sweep's: its unknown attempts are used up, or it was asked to cancel); and whether nothing
-- holds one back but its slots.
WITH clock AS MATERIALIZED (
  SELECT
    coalesce($4::bigint, floor(extract(epoch FROM clock_timestamp()) * 1000)::bigint) AS now,
    pg_current_xact_id_if_assigned() AS xid
)
SELECT
  clock.now, clock.xid,
  destination.caller_id, destination.origin, destination.endpoint_id, destination.seq,
  destination.ready_at, destination.full_slots, alive.sending, alive.first_until,
  fresh.fresh_at, retry.retry_at, lost.lost_at,
  destination.breaker IS NULL AND destination.rate_per_second IS NULL
    AND destination.paused_at IS NULL AND destination.held_at IS NULL
    AND NOT EXISTS (
      SELECT 1 FROM dispatcher.target WHERE target.destination_seq = destination.seq
    )
FROM clock
CROSS JOIN unnest($1::text[], $2::text[], $3::text[]) AS wanted (caller_id, origin, endpoint_id)
JOIN dispatcher.destination
  ON destination.caller_id = wanted.caller_id AND destination.origin = wanted.origin
  AND destination.endpoint_id = wanted.endpoint_id
CROSS JOIN LATERAL (
  SELECT count(*) AS sending, min(lease_until) AS first_until FROM dispatcher.delivery
  WHERE destination_seq = destination.seq AND state = 'sending' AND lease_until > clock.now
) AS alive
CROSS JOIN LATERAL (
  SELECT min(due_at) AS fresh_at FROM dispatcher.delivery
  WHERE destination_seq = destination.seq AND target_seq = 0 AND NOT retried
    AND state = 'pending' AND NOT blocked
) AS fresh
CROSS JOIN LATERAL (
  SELECT min(due_at) AS retry_at FROM dispatcher.delivery
  WHERE destination_seq = destination.seq AND target_seq = 0 AND retried
    AND state = 'pending' AND NOT blocked
) AS retry
CROSS JOIN LATERAL (
  SELECT min(lease_until) AS lost_at FROM (
    SELECT lease_until FROM dispatcher.delivery
    WHERE destination_seq = destination.seq AND state = 'sending' AND target_seq = 0
      AND unknown_count < 3 AND cancel_requested_at IS NULL
    ORDER BY lease_until
    LIMIT 1
  ) AS first
) AS lost
