-- The first schema. Instants are bigint, milliseconds since the Unix epoch (UTC).
--
-- Everything stands in a schema of its own and is named in full, so that nothing depends on the
-- session's search_path and a pooler may stand between. The order received is always `seq`.
-- CHECKs repeat what `dispatcher.core.lifecycle` says of states; a test compares the two.
-- Tables that every job writes to have no foreign keys: each costs a look-up and a lock a row. What
-- belongs to a job is erased with it by hand (`prune_*.sql`).
-- A partial index holds only what is still open, so that its cost does not grow with what is done.

CREATE TABLE dispatcher.meta (
  name text PRIMARY KEY,
  value bytea NOT NULL
);

-- Callers, and what they own -------------------------------------------------------------------

-- `terms` is JSON (`CallerTerms`); NULL: nothing is set.
CREATE TABLE dispatcher.caller (
  seq bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  id text NOT NULL UNIQUE,
  name text NOT NULL UNIQUE,
  created_at bigint NOT NULL,
  terms text
);

CREATE TABLE dispatcher.api_key (
  id text PRIMARY KEY,
  caller_id text NOT NULL REFERENCES dispatcher.caller (id),
  role text NOT NULL CHECK (role IN ('caller', 'worker', 'operator')),
  digest bytea NOT NULL UNIQUE,
  created_at bigint NOT NULL,
  expires_at bigint,
  revoked_at bigint
);
CREATE INDEX api_key_of_caller ON dispatcher.api_key (caller_id, created_at)
  WHERE revoked_at IS NULL;

-- In each table of secrets one row at most has no end: that which signs until it is rotated.
CREATE TABLE dispatcher.secret (
  seq bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  caller_id text NOT NULL REFERENCES dispatcher.caller (id),
  sealed bytea NOT NULL,
  created_at bigint NOT NULL,
  expires_at bigint
);
CREATE INDEX secret_of_caller ON dispatcher.secret (caller_id);
CREATE UNIQUE INDEX secret_lasting ON dispatcher.secret (caller_id) WHERE expires_at IS NULL;

-- `id` is the thumbprint of the public key; `sealed` holds the private one.
CREATE TABLE dispatcher.service_key (
  seq bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  id text NOT NULL UNIQUE,
  public bytea NOT NULL CHECK (length(public) = 32),
  sealed bytea NOT NULL,
  created_at bigint NOT NULL,
  retired_at bigint
);
CREATE UNIQUE INDEX service_key_lasting ON dispatcher.service_key ((retired_at IS NULL))
  WHERE retired_at IS NULL;

-- `declared` is the type as JSON.
CREATE TABLE dispatcher.job_type (
  name text PRIMARY KEY,
  declared text NOT NULL
);

-- Jobs -----------------------------------------------------------------------------------------

-- A process that holds running jobs; its lease is theirs.
CREATE TABLE dispatcher.holder (
  id text PRIMARY KEY,
  name text NOT NULL,
  expires_at bigint NOT NULL
);

-- Where jobs of one caller, queue and type wait. `ready_at` is never later than the instant at
-- which the next of them could be claimed; NULL when none waits. `waiting` and `waiting_bytes` count
-- the jobs that wait there and the bytes of their inputs, so that quotas are looked up. Whoever puts
-- a job there, or takes one from there, locks the row; a job that is handed off at once does neither.
CREATE TABLE dispatcher.lane (
  seq bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  caller_id text NOT NULL,
  queue text NOT NULL,
  type text NOT NULL,
  ready_at bigint,
  paused_at bigint,
  waiting bigint NOT NULL DEFAULT 0,
  waiting_bytes bigint NOT NULL DEFAULT 0,
  UNIQUE (caller_id, queue, type)
) WITH (fillfactor = 50);
CREATE INDEX lane_of_queue ON dispatcher.lane (queue);
CREATE INDEX lane_ready ON dispatcher.lane (type, ready_at)
  WHERE ready_at IS NOT NULL AND paused_at IS NULL;
CREATE INDEX lane_idle ON dispatcher.lane (seq) WHERE ready_at IS NULL AND paused_at IS NULL;

-- `late_at` is the earlier of `deadline` and, until the first attempt, `start_by`. `lane_seq` is
-- NULL for a job that never waited. The columns are read by position (`rows.py`): new ones go to the
-- end.
CREATE TABLE dispatcher.job (
  seq bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  id text NOT NULL UNIQUE,
  caller_id text NOT NULL,
  type text NOT NULL,
  queue text NOT NULL,
  lane_seq bigint,
  priority smallint NOT NULL CHECK (priority BETWEEN 0 AND 9),
  state text NOT NULL,
  lease text,
  holder_id text,
  attempt_count integer NOT NULL CHECK (attempt_count >= 0),
  max_attempts integer NOT NULL CHECK (max_attempts >= 1),
  timeout_seconds double precision NOT NULL,
  retention_seconds double precision NOT NULL,
  created_at bigint NOT NULL,
  due_at bigint NOT NULL,
  late_at bigint,
  run_at bigint,
  start_by bigint,
  deadline bigint,
  started_at bigint,
  finished_at bigint,
  expires_at bigint,
  cancel_requested_at bigint,
  retrying boolean NOT NULL,
  progress text,
  error text,
  result_bytes bigint,
  callback text,
  correlation_id text,
  metadata text,
  replay_of text,
  trace text,
  api_version text NOT NULL,
  version bigint NOT NULL,
  event_count bigint NOT NULL,
  ordering_key text,
  CONSTRAINT job_state CHECK (
    CASE state
      WHEN 'running' THEN
        lease IS NOT NULL AND holder_id IS NOT NULL AND started_at IS NOT NULL AND NOT retrying
        AND finished_at IS NULL AND expires_at IS NULL
      WHEN 'waiting' THEN
        lease IS NULL AND holder_id IS NULL AND lane_seq IS NOT NULL
        AND finished_at IS NULL AND expires_at IS NULL
      ELSE
        state IN ('succeeded', 'failed', 'canceled', 'expired')
        AND lease IS NULL AND holder_id IS NULL AND NOT retrying
        AND finished_at IS NOT NULL AND expires_at IS NOT NULL
    END
  )
) WITH (fillfactor = 85, autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 1000,
  autovacuum_analyze_scale_factor = 0.02, autovacuum_vacuum_cost_delay = 0);
CREATE INDEX job_waiting ON dispatcher.job (lane_seq, priority, due_at, seq)
  INCLUDE (late_at) WHERE state = 'waiting';
CREATE INDEX job_held ON dispatcher.job (holder_id) WHERE holder_id IS NOT NULL;
CREATE INDEX job_late ON dispatcher.job (late_at, seq)
  WHERE late_at IS NOT NULL AND finished_at IS NULL;
CREATE INDEX job_expiry ON dispatcher.job (expires_at, seq) WHERE expires_at IS NOT NULL;
CREATE INDEX job_of_caller ON dispatcher.job (caller_id, seq);
CREATE INDEX job_correlation ON dispatcher.job (correlation_id, seq)
  WHERE correlation_id IS NOT NULL;
CREATE INDEX job_rare_end ON dispatcher.job (state, seq)
  WHERE state IN ('failed', 'canceled', 'expired');

CREATE TABLE dispatcher.job_input (
  job_seq bigint PRIMARY KEY,
  body bytea NOT NULL
);

CREATE TABLE dispatcher.job_result (
  job_seq bigint PRIMARY KEY,
  body bytea NOT NULL
);

-- `job_id` may outlive its job: then the key counts as unused.
CREATE TABLE dispatcher.idempotency (
  caller_id text NOT NULL,
  key text NOT NULL,
  digest bytea NOT NULL,
  job_id text NOT NULL,
  expires_at bigint NOT NULL,
  PRIMARY KEY (caller_id, key)
);
CREATE INDEX idempotency_expiry ON dispatcher.idempotency (expires_at);

-- Events and deliveries ------------------------------------------------------------------------

-- `sequence` counts in a job's course. `delivery.dead` belongs to a job, and is erased with it, but
-- not to its course; `endpoint.disabled` and `ping` belong to no job.
--
-- `xid` is the transaction that wrote the row: who follows all events reads in the order of the pair
-- (xid, seq), and only what is below the oldest transaction still under way, so that nothing can
-- appear behind a cursor.
CREATE TABLE dispatcher.event (
  seq bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  id text NOT NULL UNIQUE,
  caller_id text NOT NULL,
  job_seq bigint,
  type text NOT NULL,
  sequence bigint CHECK (sequence >= 1),
  at bigint NOT NULL,
  links_base text NOT NULL,
  data bytea,
  xid xid8 NOT NULL DEFAULT pg_current_xact_id(),
  CONSTRAINT event_type CHECK (
    CASE
      WHEN type IN ('job.succeeded', 'job.failed', 'job.canceled', 'job.expired')
        THEN job_seq IS NOT NULL AND sequence IS NOT NULL AND data IS NULL
      WHEN type IN ('job.started', 'job.progress', 'job.output')
        THEN job_seq IS NOT NULL AND sequence IS NOT NULL AND data IS NOT NULL
      WHEN type = 'delivery.dead'
        THEN job_seq IS NOT NULL AND sequence IS NULL AND data IS NOT NULL
      WHEN type IN ('endpoint.disabled', 'ping')
        THEN job_seq IS NULL AND sequence IS NULL AND data IS NOT NULL
      ELSE FALSE
    END
  ),
  UNIQUE (job_seq, sequence)
);
CREATE INDEX event_of_caller ON dispatcher.event (caller_id, xid, seq);
-- What is erased with no job.
CREATE INDEX event_alone ON dispatcher.event (at) WHERE job_seq IS NULL;

-- Where deliveries of one caller to one origin (scheme, host, port) wait. `ready_at` as of lanes;
-- while all slots are taken, the earliest end of a lease: then `full_slots` says how many those
-- are, so that a claim with more looks all the same. A row is there as long as a delivery is
-- pending or sending. A registered endpoint is a destination of its own; '' for callback URLs of jobs.
-- Whoever takes, frees or waits for a slot locks the row.
--
-- Paused by operators; held because the registered endpoint is disabled. Nothing is claimed while
-- either is set; `ready_at` goes on as if neither were. The breaker is JSON, NULL while nothing speaks
-- against the destination; its state stands beside it to be counted, the instant until which it is
-- open, and when it was last written. A rate of its own (NULL: the setting's), and the theoretical
-- arrival time of GCRA, in microseconds.
CREATE TABLE dispatcher.destination (
  seq bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  id text NOT NULL UNIQUE,
  caller_id text NOT NULL,
  origin text NOT NULL,
  endpoint_id text NOT NULL DEFAULT '',
  ready_at bigint,
  full_slots integer,
  paused_at bigint,
  held_at bigint,
  breaker text,
  breaker_state text CHECK (breaker_state IN ('closed', 'open', 'half-open')),
  open_until bigint CHECK (open_until IS NULL OR breaker_state = 'open'),
  breaker_at bigint,
  rate_per_second double precision CHECK (rate_per_second > 0),
  rate_us bigint,
  CHECK ((breaker IS NULL) = (breaker_state IS NULL)),
  UNIQUE (caller_id, origin, endpoint_id)
) WITH (fillfactor = 50);
CREATE INDEX destination_ready ON dispatcher.destination (ready_at, seq, caller_id)
  WHERE ready_at IS NOT NULL AND paused_at IS NULL AND held_at IS NULL;
CREATE INDEX destination_full ON dispatcher.destination (full_slots, caller_id)
  WHERE full_slots IS NOT NULL AND paused_at IS NULL AND held_at IS NULL;
CREATE INDEX destination_idle ON dispatcher.destination (seq) WHERE ready_at IS NULL;
CREATE INDEX destination_breaker ON dispatcher.destination (breaker_state)
  WHERE breaker_state IS NOT NULL;
CREATE INDEX destination_stopped ON dispatcher.destination (seq)
  WHERE paused_at IS NOT NULL OR held_at IS NOT NULL;

-- URLs of a destination that have failed, each with the breaker of its own. Its deliveries wait in a
-- line of their own once it has opened, so that they keep nobody else's waiting; `ready_at` as of
-- destinations, of that line alone. Whoever changes one locks its destination.
CREATE TABLE dispatcher.target (
  seq bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  destination_seq bigint NOT NULL,
  url text NOT NULL,
  breaker text,
  breaker_state text CHECK (breaker_state IN ('closed', 'open', 'half-open')),
  open_until bigint CHECK (open_until IS NULL OR breaker_state = 'open'),
  breaker_at bigint NOT NULL,
  ready_at bigint,
  CHECK ((breaker IS NULL) = (breaker_state IS NULL)),
  UNIQUE (destination_seq, url)
);
CREATE INDEX target_ready ON dispatcher.target (destination_seq, ready_at)
  WHERE ready_at IS NOT NULL;
CREATE INDEX target_idle ON dispatcher.target (breaker_at) WHERE ready_at IS NULL;
CREATE INDEX target_breaker ON dispatcher.target (breaker_state) WHERE breaker_state IS NOT NULL;

-- The first attempt lives here (`first_*`), later ones in `attempt`; each with the lease under which
-- it was made, so that the same record sent twice is known. What was asked to cancel never waits: it
-- is being sent, or has ended.
--
-- `target_seq` is the line that it waits in: 0 is the destination's, else a target's. Those that are
-- sent one at a time share a `chain`; `on_dead` says what a dead one does to the rest; `blocked` ones
-- are pending behind an earlier one of their chain, and not to be claimed yet. `retried`: it was tried
-- before; first attempts do not wait behind retries. Read by position (`rows.py`): new columns go to the end.
CREATE TABLE dispatcher.delivery (
  seq bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  id text NOT NULL UNIQUE,
  destination_seq bigint NOT NULL,
  job_seq bigint,
  event_seq bigint NOT NULL,
  endpoint_id text,
  url text NOT NULL,
  origin text NOT NULL,
  state text NOT NULL,
  lease text,
  lease_until bigint,
  created_at bigint NOT NULL,
  due_at bigint NOT NULL,
  finished_at bigint,
  attempt_count integer NOT NULL CHECK (attempt_count >= 0),
  entries_used integer NOT NULL CHECK (entries_used >= 0),
  unknown_count smallint NOT NULL CHECK (unknown_count BETWEEN 0 AND 3),
  first_lease text,
  first_number integer,
  first_at bigint,
  first_duration_ms bigint,
  first_status_code integer,
  first_error text,
  first_body bytea,
  caller_id text NOT NULL,
  round integer NOT NULL DEFAULT 1 CHECK (round >= 1),
  redelivered_at bigint CHECK (redelivered_at IS NULL OR round > 1),
  cancel_requested_at bigint CHECK (cancel_requested_at IS NULL OR state <> 'pending'),
  target_seq bigint NOT NULL DEFAULT 0,
  chain text,
  on_dead text CHECK (on_dead IN ('skip', 'block')),
  blocked boolean NOT NULL DEFAULT FALSE,
  retried boolean NOT NULL DEFAULT FALSE,
  CHECK ((chain IS NULL) = (on_dead IS NULL)),
  CHECK (NOT blocked OR (state = 'pending' AND chain IS NOT NULL)),
  CONSTRAINT delivery_state CHECK (
    CASE state
      WHEN 'sending' THEN
        lease IS NOT NULL AND lease_until IS NOT NULL AND finished_at IS NULL
      WHEN 'pending' THEN
        lease IS NULL AND lease_until IS NULL AND finished_at IS NULL
      ELSE
        state IN ('delivered', 'dead', 'canceled')
        AND lease IS NULL AND lease_until IS NULL AND finished_at IS NOT NULL
    END
  ),
  CONSTRAINT delivery_first_iff_attempted CHECK (
    CASE WHEN attempt_count = 0
      THEN first_number IS NULL
      ELSE first_lease IS NOT NULL AND first_number IS NOT NULL AND first_at IS NOT NULL
        AND first_duration_ms IS NOT NULL
    END
  )
) WITH (fillfactor = 85, autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 1000,
  autovacuum_analyze_scale_factor = 0.02, autovacuum_vacuum_cost_delay = 0);
CREATE INDEX delivery_of_job ON dispatcher.delivery (job_seq, seq);
CREATE INDEX delivery_of_caller ON dispatcher.delivery (caller_id, seq);
CREATE INDEX delivery_pending
  ON dispatcher.delivery (destination_seq, target_seq, retried, due_at, seq)
  WHERE state = 'pending' AND NOT blocked;
CREATE INDEX delivery_sending ON dispatcher.delivery (destination_seq, lease_until)
  INCLUDE (unknown_count, cancel_requested_at, target_seq) WHERE state = 'sending';
CREATE INDEX delivery_blocked ON dispatcher.delivery (destination_seq) WHERE blocked;
-- What stands in the way of the later ones of its chain.
CREATE INDEX delivery_chain ON dispatcher.delivery (chain, seq)
  WHERE chain IS NOT NULL
    AND (state = 'pending' OR state = 'sending' OR (state = 'dead' AND on_dead = 'block'));
CREATE INDEX delivery_lost ON dispatcher.delivery (lease_until, seq)
  WHERE state = 'sending' AND (unknown_count >= 3 OR cancel_requested_at IS NOT NULL);
CREATE INDEX delivery_age ON dispatcher.delivery ((coalesce(redelivered_at, created_at)), seq)
  WHERE state = 'pending';
-- Delivered ones are the many; these are few, and are looked for.
CREATE INDEX delivery_rare_end ON dispatcher.delivery (state, seq)
  WHERE state IN ('dead', 'canceled');
CREATE INDEX delivery_rare_end_of_caller ON dispatcher.delivery (caller_id, state, seq)
  WHERE state IN ('dead', 'canceled');

CREATE TABLE dispatcher.attempt (
  delivery_seq bigint NOT NULL,
  number integer NOT NULL,
  lease text NOT NULL,
  at bigint NOT NULL,
  duration_ms bigint NOT NULL,
  status_code integer,
  error text,
  body bytea,
  PRIMARY KEY (delivery_seq, number)
);

-- Things done by hand. `actor_*`, `address` and `request_id` say by whom; `caller_id` whose thing it
-- was that was done something to; `detail` is a JSON object.
CREATE TABLE dispatcher.audit (
  seq bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  id text NOT NULL UNIQUE,
  at bigint NOT NULL,
  action text NOT NULL,
  target text NOT NULL,
  caller_id text,
  via text NOT NULL CHECK (via IN ('api', 'cli')),
  actor_id text,
  key_id text,
  address text,
  request_id text,
  detail text NOT NULL
);
CREATE INDEX audit_at ON dispatcher.audit (at);
CREATE INDEX audit_of_target ON dispatcher.audit (target, seq);
CREATE INDEX audit_of_caller ON dispatcher.audit (caller_id, seq) WHERE caller_id IS NOT NULL;
