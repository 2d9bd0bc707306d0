-- What batches of a busy service write is given as rows, not as an array a column: of each value in an
-- array the driver asks first whether it is an array itself, which takes longer than to encode it.
-- These types never change, since nodes of the version before give such rows: a later version that
-- needs more makes types of its own.
CREATE TYPE dispatcher.job_new AS (
  id text, caller_id text, type text, queue text, lane_seq bigint, priority smallint, state text,
  lease text, holder_id text, attempt_count integer, max_attempts integer,
  timeout_seconds double precision, retention_seconds double precision, created_at bigint,
  due_at bigint, late_at bigint, run_at bigint, start_by bigint, deadline bigint,
  started_at bigint, finished_at bigint, expires_at bigint, cancel_requested_at bigint,
  retrying boolean, progress text, error text, result_bytes bigint, callback text,
  correlation_id text, metadata text, replay_of text, trace text, api_version text,
  version bigint, event_count bigint, ordering_key text, key_place smallint, body bytea
);
CREATE TYPE dispatcher.job_ended AS (
  id text, lease text, version bigint, state text, finished_at bigint, expires_at bigint,
  progress text, error text, result_bytes bigint, body bytea
);
CREATE TYPE dispatcher.delivery_tried AS (
  id text, lease text, until bigint, state text, due_at bigint, finished_at bigint, used integer,
  number integer, at bigint, duration_ms bigint, status_code integer, error text, body bytea
);
CREATE TYPE dispatcher.event_new AS (
  id text, caller_id text, job_seq bigint, type text, sequence bigint, at bigint, data bytea
);
CREATE TYPE dispatcher.delivery_owed AS (
  id text, destination_seq bigint, job_seq bigint, event integer, url text, origin text,
  state text, lease text, lease_until bigint, due_at bigint, caller_id text, line bigint,
  chain text, on_dead text, blocked boolean, endpoint_id text
);

-- What a batch has settled: the jobs that were ended (`kind` 1) and the deliveries that were recorded
-- (2), each by its id and number; then how the destinations stand (3), as `destinations_loads.sql`
-- gives it.
CREATE TYPE dispatcher.settled AS (
  kind smallint, id text, number bigint,
  now bigint, xid xid8, caller_id text, origin text, endpoint_id text, seq bigint,
  ready_at bigint, full_slots integer, sending bigint, first_until bigint, fresh_at bigint,
  retry_at bigint, lost_at bigint, plain boolean
);

-- `jobs_end.sql`, `deliveries_tried.sql`, `destinations_lock.sql` and `destinations_loads.sql`, one
-- after the other as long as each changed all that it was to: one round trip in place of four. Where
-- one did not, others are to be locked first. Each is a statement of its own, so that how destinations
-- stand is read once they are locked. A test sees to it that they are said here as they are there.
CREATE FUNCTION dispatcher.settle(
  ends dispatcher.job_ended[], tries dispatcher.delivery_tried[],
  ids text[], callers text[], origins text[], receivers text[], told bigint
) RETURNS SETOF dispatcher.settled LANGUAGE plpgsql AS $settle$
#variable_conflict use_column
DECLARE
  changed bigint;
  all_changed boolean := TRUE;
BEGIN
  IF cardinality(ends) > 0 THEN
    RETURN QUERY
    WITH ended AS (
      UPDATE dispatcher.job AS job SET
        state = ended.state,
        lease = NULL,
        holder_id = NULL,
        finished_at = ended.finished_at,
        expires_at = ended.expires_at,
        retrying = FALSE,
        progress = ended.progress,
        error = ended.error,
        result_bytes = ended.result_bytes,
        version = job.version + 1,
        event_count = job.event_count + 1
      FROM unnest(ends) AS ended
      WHERE job.id = ended.id AND job.lease = ended.lease AND job.version = ended.version
        AND job.key_place = 0 AND coalesce(job.holder_id, '') <> job.lease
        AND NOT EXISTS (
          SELECT 1 FROM dispatcher.endpoint
          WHERE endpoint.caller_id = job.caller_id AND endpoint.deleted_at IS NULL
        )
      RETURNING job.id, job.seq, ended.body
    ), kept AS (
      INSERT INTO dispatcher.job_result (job_seq, body)
      SELECT seq, body FROM ended WHERE body IS NOT NULL
    )
    SELECT 1::smallint, ended.id, ended.seq,
      NULL::bigint, NULL::xid8, NULL::text, NULL::text, NULL::text, NULL::bigint,
      NULL::bigint, NULL::integer, NULL::bigint, NULL::bigint, NULL::bigint, NULL::bigint,
      NULL::bigint, NULL::boolean
    FROM ended;
    GET DIAGNOSTICS changed = ROW_COUNT;
    all_changed := changed = cardinality(ends);
  END IF;
  IF all_changed AND cardinality(tries) > 0 THEN
    RETURN QUERY
    WITH recorded AS (
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
      FROM unnest(tries) AS tried
      WHERE delivery.id = tried.id AND delivery.lease = tried.lease AND delivery.lease_until = tried.until
        AND delivery.attempt_count = 0 AND delivery.cancel_requested_at IS NULL
        AND delivery.endpoint_id IS NULL AND delivery.chain IS NULL AND delivery.target_seq = 0
      RETURNING delivery.id, delivery.seq
    )
    SELECT 2::smallint, recorded.id, recorded.seq,
      NULL::bigint, NULL::xid8, NULL::text, NULL::text, NULL::text, NULL::bigint,
      NULL::bigint, NULL::integer, NULL::bigint, NULL::bigint, NULL::bigint, NULL::bigint,
      NULL::bigint, NULL::boolean
    FROM recorded;
    GET DIAGNOSTICS changed = ROW_COUNT;
    all_changed := changed = cardinality(tries);
  END IF;
  IF all_changed THEN
    INSERT INTO dispatcher.destination AS destination (
      id, caller_id, origin, endpoint_id, held_at, rate_per_second
    )
    SELECT
      id, caller_id, origin, endpoint_id,
      CASE WHEN endpoint_id <> '' THEN (
        SELECT coalesce(deleted_at, disabled_at) FROM dispatcher.endpoint
        WHERE endpoint.id = wanted.endpoint_id
      ) END,
      CASE WHEN endpoint_id <> '' THEN (
        SELECT rate_limit FROM dispatcher.endpoint WHERE endpoint.id = wanted.endpoint_id
      ) END
    FROM unnest(ids, callers, origins, receivers)
      AS wanted (id, caller_id, origin, endpoint_id)
    ORDER BY caller_id COLLATE "C", origin COLLATE "C", endpoint_id COLLATE "C"
    ON CONFLICT (caller_id, origin, endpoint_id) DO UPDATE SET origin = excluded.origin WHERE FALSE;
    RETURN QUERY SELECT 3::smallint, NULL::text, NULL::bigint, loads.* FROM (
      WITH clock AS MATERIALIZED (
        SELECT
          coalesce(told, floor(extract(epoch FROM clock_timestamp()) * 1000)::bigint) AS now,
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
      CROSS JOIN unnest(callers, origins, receivers) AS wanted (caller_id, origin, endpoint_id)
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
    ) AS loads;
  END IF;
END
$settle$;
