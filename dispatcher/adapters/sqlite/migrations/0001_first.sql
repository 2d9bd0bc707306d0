-- The first schema. Instants are integers, milliseconds since the Unix epoch (UTC).
--
-- The order received is always `seq`; with AUTOINCREMENT where a number must never come again.
-- CHECKs repeat what `dispatcher.core.lifecycle` says of states; a test compares the two.
-- They do so with CASE: a list after IN is made into a table at each statement, which is dear.
-- A partial index holds only what is still open, so that its cost does not grow with what is done.

CREATE TABLE meta (
  name TEXT PRIMARY KEY,
  value BLOB NOT NULL
) STRICT, WITHOUT ROWID;

-- Callers, and what they own -------------------------------------------------------------------

CREATE TABLE caller (
  seq INTEGER PRIMARY KEY,
  id TEXT NOT NULL UNIQUE,
  name TEXT NOT NULL UNIQUE,
  created_at INTEGER NOT NULL
) STRICT;

CREATE TABLE api_key (
  id TEXT PRIMARY KEY,
  caller_id TEXT NOT NULL REFERENCES caller (id),
  role TEXT NOT NULL CHECK (role IN ('caller', 'worker', 'operator')),
  digest BLOB NOT NULL UNIQUE,
  created_at INTEGER NOT NULL,
  expires_at INTEGER,
  revoked_at INTEGER
) STRICT, WITHOUT ROWID;

CREATE TABLE secret (
  seq INTEGER PRIMARY KEY AUTOINCREMENT,
  caller_id TEXT NOT NULL REFERENCES caller (id),
  sealed BLOB NOT NULL,
  created_at INTEGER NOT NULL,
  expires_at INTEGER
) STRICT;
CREATE INDEX secret_of_caller ON secret (caller_id);

-- `declared` is the type as JSON.
CREATE TABLE job_type (
  name TEXT PRIMARY KEY,
  declared TEXT NOT NULL
) STRICT, WITHOUT ROWID;

-- Jobs -----------------------------------------------------------------------------------------

-- A process that holds running jobs; its lease is theirs.
CREATE TABLE holder (
  id TEXT PRIMARY KEY,
  name TEXT NOT NULL,
  expires_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- Where jobs of one caller, queue and type wait. `ready_at` is never later than the instant at
-- which the next of them could be claimed; NULL when none waits.
CREATE TABLE lane (
  seq INTEGER PRIMARY KEY AUTOINCREMENT,
  caller_id TEXT NOT NULL,
  queue TEXT NOT NULL,
  type TEXT NOT NULL,
  ready_at INTEGER,
  paused_at INTEGER,
  UNIQUE (caller_id, queue, type)
) STRICT;
CREATE INDEX lane_ready ON lane (type, ready_at) WHERE ready_at IS NOT NULL AND paused_at IS NULL;
CREATE INDEX lane_idle ON lane (seq) WHERE ready_at IS NULL AND paused_at IS NULL;

-- `late_at` is the earlier of `deadline` and, until the first attempt, `start_by`.
-- The columns are read by position (`rows.py`): new ones go to the end.
CREATE TABLE job (
  seq INTEGER PRIMARY KEY AUTOINCREMENT,
  id TEXT NOT NULL UNIQUE,
  caller_id TEXT NOT NULL,
  type TEXT NOT NULL,
  queue TEXT NOT NULL,
  lane_seq INTEGER NOT NULL,
  priority INTEGER NOT NULL CHECK (priority BETWEEN 0 AND 9),
  state TEXT NOT NULL,
  lease TEXT,
  holder_id TEXT,
  attempt_count INTEGER NOT NULL CHECK (attempt_count >= 0),
  max_attempts INTEGER NOT NULL CHECK (max_attempts >= 1),
  timeout_seconds REAL NOT NULL,
  retention_seconds REAL NOT NULL,
  created_at INTEGER NOT NULL,
  due_at INTEGER NOT NULL,
  late_at INTEGER,
  run_at INTEGER,
  start_by INTEGER,
  deadline INTEGER,
  started_at INTEGER,
  finished_at INTEGER,
  expires_at INTEGER,
  cancel_requested_at INTEGER,
  retrying INTEGER NOT NULL CHECK (retrying IN (0, 1)),
  progress TEXT,
  error TEXT,
  result_bytes INTEGER,
  callback TEXT,
  correlation_id TEXT,
  metadata TEXT,
  replay_of TEXT,
  trace TEXT,
  api_version TEXT NOT NULL,
  version INTEGER NOT NULL,
  event_count INTEGER NOT NULL,
  CONSTRAINT job_state CHECK (
    CASE state
      WHEN 'running' THEN
        lease IS NOT NULL AND holder_id IS NOT NULL AND started_at IS NOT NULL AND retrying = 0
        AND finished_at IS NULL AND expires_at IS NULL
      WHEN 'waiting' THEN
        lease IS NULL AND holder_id IS NULL AND finished_at IS NULL AND expires_at IS NULL
      ELSE
        CASE state WHEN 'succeeded' THEN 1 WHEN 'failed' THEN 1 WHEN 'canceled' THEN 1
          WHEN 'expired' THEN 1 ELSE 0 END
        AND lease IS NULL AND holder_id IS NULL AND retrying = 0
        AND finished_at IS NOT NULL AND expires_at IS NOT NULL
    END
  )
) STRICT;
-- `state` is in it so that what waits is counted without looking at the rows.
CREATE INDEX job_waiting ON job (lane_seq, priority, due_at, seq, late_at, state)
  WHERE state = 'waiting';
CREATE INDEX job_held ON job (holder_id) WHERE holder_id IS NOT NULL;
CREATE INDEX job_late ON job (late_at) WHERE late_at IS NOT NULL AND finished_at IS NULL;
CREATE INDEX job_expiry ON job (expires_at) WHERE expires_at IS NOT NULL;
CREATE INDEX job_of_caller ON job (caller_id);
CREATE INDEX job_correlation ON job (correlation_id) WHERE correlation_id IS NOT NULL;
CREATE INDEX job_rare_end ON job (state) WHERE state IN ('failed', 'canceled', 'expired');

CREATE TABLE job_input (
  job_seq INTEGER PRIMARY KEY REFERENCES job (seq) ON DELETE CASCADE,
  body BLOB NOT NULL
) STRICT;

CREATE TABLE job_result (
  job_seq INTEGER PRIMARY KEY REFERENCES job (seq) ON DELETE CASCADE,
  body BLOB NOT NULL
) STRICT;

-- `job_seq` may outlive its job: then the key counts as unused.
CREATE TABLE idempotency (
  caller_id TEXT NOT NULL,
  key TEXT NOT NULL,
  digest BLOB NOT NULL,
  job_seq INTEGER NOT NULL,
  expires_at INTEGER NOT NULL,
  PRIMARY KEY (caller_id, key)
) STRICT, WITHOUT ROWID;
CREATE INDEX idempotency_expiry ON idempotency (expires_at);

-- Events and deliveries ------------------------------------------------------------------------

CREATE TABLE event (
  seq INTEGER PRIMARY KEY AUTOINCREMENT,
  id TEXT NOT NULL UNIQUE,
  job_seq INTEGER NOT NULL REFERENCES job (seq) ON DELETE CASCADE,
  type TEXT NOT NULL,
  sequence INTEGER NOT NULL CHECK (sequence >= 1),
  at INTEGER NOT NULL,
  links_base TEXT NOT NULL,
  data BLOB,
  CONSTRAINT event_type CHECK (
    CASE type
      WHEN 'job.succeeded' THEN data IS NULL
      WHEN 'job.failed' THEN data IS NULL
      WHEN 'job.canceled' THEN data IS NULL
      WHEN 'job.expired' THEN data IS NULL
      WHEN 'job.started' THEN data IS NOT NULL
      WHEN 'job.progress' THEN data IS NOT NULL
      WHEN 'job.output' THEN data IS NOT NULL
      ELSE 0
    END
  ),
  UNIQUE (job_seq, sequence)
) STRICT;

-- Where deliveries of one caller to one origin (scheme, host, port) wait. `ready_at` as of lanes;
-- while all slots are taken, the earliest end of a lease: then `full_slots` says how many those
-- are, so that a claim with more looks all the same. A row is there as long as a delivery is
-- pending or sending.
CREATE TABLE destination (
  seq INTEGER PRIMARY KEY AUTOINCREMENT,
  caller_id TEXT NOT NULL,
  origin TEXT NOT NULL,
  ready_at INTEGER,
  full_slots INTEGER,
  UNIQUE (caller_id, origin)
) STRICT;
CREATE INDEX destination_ready ON destination (ready_at) WHERE ready_at IS NOT NULL;
CREATE INDEX destination_full ON destination (full_slots) WHERE full_slots IS NOT NULL;
CREATE INDEX destination_idle ON destination (seq) WHERE ready_at IS NULL;

-- The first attempt lives here (`first_*`), later ones in `attempt`; each with the lease under which
-- it was made, so that the same record sent twice is known.
-- Read by position (`rows.py`): new columns go to the end.
CREATE TABLE delivery (
  seq INTEGER PRIMARY KEY,
  id TEXT NOT NULL UNIQUE,
  destination_seq INTEGER NOT NULL,
  job_seq INTEGER NOT NULL REFERENCES job (seq) ON DELETE CASCADE,
  event_seq INTEGER NOT NULL,
  endpoint_id TEXT,
  url TEXT NOT NULL,
  origin TEXT NOT NULL,
  state TEXT NOT NULL,
  lease TEXT,
  lease_until INTEGER,
  created_at INTEGER NOT NULL,
  due_at INTEGER NOT NULL,
  finished_at INTEGER,
  attempt_count INTEGER NOT NULL CHECK (attempt_count >= 0),
  entries_used INTEGER NOT NULL CHECK (entries_used >= 0),
  unknown_count INTEGER NOT NULL CHECK (unknown_count BETWEEN 0 AND 3),
  first_lease TEXT,
  first_number INTEGER,
  first_at INTEGER,
  first_duration_ms INTEGER,
  first_status_code INTEGER,
  first_error TEXT,
  first_body BLOB,
  CONSTRAINT delivery_state CHECK (
    CASE state
      WHEN 'sending' THEN
        lease IS NOT NULL AND lease_until IS NOT NULL AND finished_at IS NULL
      WHEN 'pending' THEN
        lease IS NULL AND lease_until IS NULL AND finished_at IS NULL
      ELSE
        CASE state WHEN 'delivered' THEN 1 WHEN 'dead' THEN 1 WHEN 'canceled' THEN 1 ELSE 0 END
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
) STRICT;
CREATE INDEX delivery_of_job ON delivery (job_seq);
-- `state` is in them so that slots, and what waits, are counted without looking at the rows.
CREATE INDEX delivery_pending ON delivery (destination_seq, due_at, seq, state)
  WHERE state = 'pending';
CREATE INDEX delivery_sending ON delivery (destination_seq, lease_until, unknown_count, state)
  WHERE state = 'sending';
CREATE INDEX delivery_lost ON delivery (lease_until)
  WHERE state = 'sending' AND unknown_count >= 3;
CREATE INDEX delivery_age ON delivery (created_at) WHERE state = 'pending';

CREATE TABLE attempt (
  delivery_seq INTEGER NOT NULL REFERENCES delivery (seq) ON DELETE CASCADE,
  number INTEGER NOT NULL,
  lease TEXT NOT NULL,
  at INTEGER NOT NULL,
  duration_ms INTEGER NOT NULL,
  status_code INTEGER,
  error TEXT,
  body BLOB,
  PRIMARY KEY (delivery_seq, number)
) STRICT, WITHOUT ROWID;
