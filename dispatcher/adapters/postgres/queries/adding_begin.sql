-- What a batch of new jobs has to know before any of them may be handed off: the clock (PostgreSQL's
-- own, unless it is told) and the transaction's number; which holders' leases have not ended; the
-- queues that are paused ('': all); the lanes of callers' queues, of every type.
WITH clock AS MATERIALIZED (
  SELECT
    coalesce($1::bigint, floor(extract(epoch FROM clock_timestamp()) * 1000)::bigint) AS now,
    pg_current_xact_id() AS xid
)
SELECT 'clock', NULL AS name, NULL AS queue, now, NULL::bigint AS ready_at, xid FROM clock
UNION ALL
SELECT 'alive', holder.id, NULL, NULL, NULL, NULL
FROM clock CROSS JOIN dispatcher.holder
WHERE holder.id = ANY ($2::text[]) AND holder.expires_at > clock.now
UNION ALL
SELECT 'paused', NULL, paused_queue.queue, NULL, NULL, NULL FROM dispatcher.paused_queue
UNION ALL
SELECT 'lane', lane.caller_id, lane.queue, lane.seq, lane.ready_at, NULL
FROM unnest($3::text[], $4::text[]) AS wanted (caller_id, queue)
JOIN dispatcher.lane ON lane.caller_id = wanted.caller_id AND lane.queue = wanted.queue
