-- Registered endpoints: where they go, what they are subscribed to, and how they fare.
--
-- `events`, `headers` (names) and `schedule` are JSON. An endpoint that was deleted stays until
-- nothing of it is open. Read by position (`rows.py`): new columns go to the end.
--
-- Whoever owes something to an endpoint holds a share of its row's lock until the commit, and whoever
-- changes it locks it: so nothing is owed to one that is being disabled or deleted.
CREATE TABLE dispatcher.endpoint (
  seq bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  id text NOT NULL UNIQUE,
  caller_id text NOT NULL REFERENCES dispatcher.caller (id),
  url text NOT NULL,
  origin text NOT NULL,
  events text NOT NULL,
  headers text NOT NULL,
  sealed_headers bytea,
  schedule text,
  ordered boolean NOT NULL,
  rate_limit double precision CHECK (rate_limit > 0),
  created_at bigint NOT NULL,
  failing_since bigint,
  disabled_at bigint,
  disabled_reason text CHECK (disabled_reason IN ('gone', 'failing', 'manual')),
  version bigint NOT NULL CHECK (version >= 1),
  deleted_at bigint,
  CONSTRAINT endpoint_disabled CHECK ((disabled_at IS NULL) = (disabled_reason IS NULL))
) WITH (fillfactor = 70);
CREATE INDEX endpoint_of_caller ON dispatcher.endpoint (caller_id, seq) WHERE deleted_at IS NULL;
CREATE INDEX endpoint_deleted ON dispatcher.endpoint (deleted_at) WHERE deleted_at IS NOT NULL;

-- As `secret` is of callers: one row at most has no end.
CREATE TABLE dispatcher.endpoint_secret (
  seq bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  endpoint_id text NOT NULL REFERENCES dispatcher.endpoint (id) ON DELETE CASCADE,
  sealed bytea NOT NULL,
  created_at bigint NOT NULL,
  expires_at bigint
);
CREATE INDEX endpoint_secret_of_endpoint ON dispatcher.endpoint_secret (endpoint_id);
CREATE UNIQUE INDEX endpoint_secret_lasting ON dispatcher.endpoint_secret (endpoint_id)
  WHERE expires_at IS NULL;

CREATE INDEX destination_held ON dispatcher.destination (seq) WHERE held_at IS NOT NULL;
CREATE INDEX destination_of_endpoint ON dispatcher.destination (endpoint_id)
  WHERE endpoint_id <> '';

-- What is erased with an event of no job. It holds few rows; but making it reads the table once, and
-- holds up whoever writes deliveries meanwhile (18 s for ten million on two busy cores).
CREATE INDEX delivery_alone ON dispatcher.delivery (event_seq) WHERE job_seq IS NULL;
