-- Registered endpoints: where they go, what they are subscribed to, and how they fare.
--
-- `events`, `headers` (names) and `schedule` are JSON. An endpoint that was deleted stays until
-- nothing of it is open. Read by position (`rows.py`): new columns go to the end.
CREATE TABLE endpoint (
  seq INTEGER PRIMARY KEY AUTOINCREMENT,
  id TEXT NOT NULL UNIQUE,
  caller_id TEXT NOT NULL REFERENCES caller (id),
  url TEXT NOT NULL,
  origin TEXT NOT NULL,
  events TEXT NOT NULL,
  headers TEXT NOT NULL,
  sealed_headers BLOB,
  schedule TEXT,
  ordered INTEGER NOT NULL CHECK (ordered IN (0, 1)),
  rate_limit REAL CHECK (rate_limit > 0),
  created_at INTEGER NOT NULL,
  failing_since INTEGER,
  disabled_at INTEGER,
  disabled_reason TEXT CHECK (disabled_reason IN ('gone', 'failing', 'manual')),
  version INTEGER NOT NULL CHECK (version >= 1),
  deleted_at INTEGER,
  CONSTRAINT endpoint_disabled CHECK ((disabled_at IS NULL) = (disabled_reason IS NULL))
) STRICT;
CREATE INDEX endpoint_of_caller ON endpoint (caller_id) WHERE deleted_at IS NULL;
CREATE INDEX endpoint_deleted ON endpoint (deleted_at) WHERE deleted_at IS NOT NULL;

-- As `secret` is of callers: one row at most has no end.
CREATE TABLE endpoint_secret (
  seq INTEGER PRIMARY KEY AUTOINCREMENT,
  endpoint_id TEXT NOT NULL REFERENCES endpoint (id) ON DELETE CASCADE,
  sealed BLOB NOT NULL,
  created_at INTEGER NOT NULL,
  expires_at INTEGER
) STRICT;
CREATE INDEX endpoint_secret_of_endpoint ON endpoint_secret (endpoint_id);
CREATE UNIQUE INDEX endpoint_secret_lasting ON endpoint_secret (endpoint_id)
  WHERE expires_at IS NULL;

CREATE INDEX destination_held ON destination (seq) WHERE held_at IS NOT NULL;
CREATE INDEX destination_of_endpoint ON destination (endpoint_id) WHERE endpoint_id <> '';

-- What is erased with an event of no job.
CREATE INDEX delivery_alone ON delivery (event_seq) WHERE job_seq IS NULL;
