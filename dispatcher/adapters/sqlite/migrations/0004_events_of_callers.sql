-- Events that are not of a job's course (`delivery.dead`, `endpoint.disabled`, `ping`), the order of
-- a caller's events, destinations of registered endpoints, and the key by which jobs are ordered.
--
-- A CHECK can't be altered: the tables are made anew. (Foreign keys are off while a migration runs,
-- and checked before it is committed.)

-- `sequence` counts in a job's course. `delivery.dead` belongs to a job, and is erased with it, but
-- not to its course; the last two belong to no job.
CREATE TABLE event_new (
  seq INTEGER PRIMARY KEY AUTOINCREMENT,
  id TEXT NOT NULL UNIQUE,
  caller_id TEXT NOT NULL,
  job_seq INTEGER REFERENCES job (seq) ON DELETE CASCADE,
  type TEXT NOT NULL,
  sequence INTEGER CHECK (sequence >= 1),
  at INTEGER NOT NULL,
  links_base TEXT NOT NULL,
  data BLOB,
  CONSTRAINT event_type CHECK (
    CASE type
      WHEN 'job.succeeded' THEN job_seq IS NOT NULL AND sequence IS NOT NULL AND data IS NULL
      WHEN 'job.failed' THEN job_seq IS NOT NULL AND sequence IS NOT NULL AND data IS NULL
      WHEN 'job.canceled' THEN job_seq IS NOT NULL AND sequence IS NOT NULL AND data IS NULL
      WHEN 'job.expired' THEN job_seq IS NOT NULL AND sequence IS NOT NULL AND data IS NULL
      WHEN 'job.started' THEN job_seq IS NOT NULL AND sequence IS NOT NULL AND data IS NOT NULL
      WHEN 'job.progress' THEN job_seq IS NOT NULL AND sequence IS NOT NULL AND data IS NOT NULL
      WHEN 'job.output' THEN job_seq IS NOT NULL AND sequence IS NOT NULL AND data IS NOT NULL
      WHEN 'delivery.dead' THEN job_seq IS NOT NULL AND sequence IS NULL AND data IS NOT NULL
      WHEN 'endpoint.disabled' THEN job_seq IS NULL AND sequence IS NULL AND data IS NOT NULL
      WHEN 'ping' THEN job_seq IS NULL AND sequence IS NULL AND data IS NOT NULL
      ELSE 0
    END
  ),
  UNIQUE (job_seq, sequence)
) STRICT;
INSERT INTO event_new (seq, id, caller_id, job_seq, type, sequence, at, links_base, data)
SELECT
  event.seq, event.id, job.caller_id, event.job_seq, event.type, event.sequence, event.at,
  event.links_base, event.data
FROM event
JOIN job ON job.seq = event.job_seq
ORDER BY event.seq;
-- A number must never come again: whoever follows the events knows the latest.
UPDATE sqlite_sequence
SET seq = (SELECT max(seq) FROM sqlite_sequence WHERE name IN ('event', 'event_new'))
WHERE name = 'event_new';
INSERT INTO sqlite_sequence (name, seq)
SELECT 'event_new', seq FROM sqlite_sequence
WHERE name = 'event' AND NOT EXISTS (SELECT 1 FROM sqlite_sequence WHERE name = 'event_new');
DROP TABLE event;
ALTER TABLE event_new RENAME TO event;
CREATE INDEX event_of_caller ON event (caller_id, seq);
-- What is erased with no job.
CREATE INDEX event_alone ON event (at) WHERE job_seq IS NULL;

CREATE TABLE delivery_new (
  seq INTEGER PRIMARY KEY,
  id TEXT NOT NULL UNIQUE,
  destination_seq INTEGER NOT NULL,
  job_seq INTEGER REFERENCES job (seq) ON DELETE CASCADE,
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
  caller_id TEXT NOT NULL,
  round INTEGER NOT NULL DEFAULT 1 CHECK (round >= 1),
  redelivered_at INTEGER CHECK (redelivered_at IS NULL OR round > 1),
  cancel_requested_at INTEGER CHECK (cancel_requested_at IS NULL OR state <> 'pending'),
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
INSERT INTO delivery_new SELECT * FROM delivery ORDER BY seq;
DROP TABLE delivery;
ALTER TABLE delivery_new RENAME TO delivery;
CREATE INDEX delivery_of_job ON delivery (job_seq);
-- `state` is in them so that slots, and what waits, are counted without looking at the rows, and
-- `cancel_requested_at` so that the next to be claimed is found so.
CREATE INDEX delivery_pending ON delivery (destination_seq, due_at, seq, state)
  WHERE state = 'pending';
CREATE INDEX delivery_sending
  ON delivery (destination_seq, lease_until, unknown_count, cancel_requested_at, state)
  WHERE state = 'sending';
CREATE INDEX delivery_lost ON delivery (lease_until)
  WHERE state = 'sending' AND (unknown_count >= 3 OR cancel_requested_at IS NOT NULL);
CREATE INDEX delivery_age ON delivery (coalesce(redelivered_at, created_at))
  WHERE state = 'pending';
CREATE INDEX delivery_of_caller ON delivery (caller_id);
-- Delivered ones are the many; these are few, and are looked for.
CREATE INDEX delivery_rare_end ON delivery (state) WHERE state = 'dead' OR state = 'canceled';
CREATE INDEX delivery_rare_end_of_caller ON delivery (caller_id, state)
  WHERE state = 'dead' OR state = 'canceled';

-- A registered endpoint is a destination of its own; '' for callback URLs of jobs.
CREATE TABLE destination_new (
  seq INTEGER PRIMARY KEY AUTOINCREMENT,
  caller_id TEXT NOT NULL,
  origin TEXT NOT NULL,
  endpoint_id TEXT NOT NULL DEFAULT '',
  ready_at INTEGER,
  full_slots INTEGER,
  UNIQUE (caller_id, origin, endpoint_id)
) STRICT;
INSERT INTO destination_new (seq, caller_id, origin, ready_at, full_slots)
SELECT seq, caller_id, origin, ready_at, full_slots FROM destination;
DROP TABLE destination;
ALTER TABLE destination_new RENAME TO destination;
CREATE INDEX destination_ready ON destination (ready_at) WHERE ready_at IS NOT NULL;
CREATE INDEX destination_full ON destination (full_slots) WHERE full_slots IS NOT NULL;
CREATE INDEX destination_idle ON destination (seq) WHERE ready_at IS NULL;

ALTER TABLE job ADD COLUMN ordering_key TEXT;
