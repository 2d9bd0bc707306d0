-- How deliveries flow: breakers, ramp-up, rates, pauses, first attempts before retries, and order.

-- Destinations by a name of their own, and what holds one back besides its slots.
ALTER TABLE destination ADD COLUMN id TEXT NOT NULL DEFAULT '';
UPDATE destination SET id = 'dst_' || lower(hex(randomblob(16)));
CREATE UNIQUE INDEX destination_id ON destination (id);
-- Paused by operators; held because the registered endpoint is disabled. Nothing is claimed while
-- either is set; `ready_at` goes on as if neither were.
ALTER TABLE destination ADD COLUMN paused_at INTEGER;
ALTER TABLE destination ADD COLUMN held_at INTEGER;
-- The breaker as JSON, NULL while nothing speaks against the destination; its state beside it to be
-- counted, the instant until which it is open, and when it was last written.
ALTER TABLE destination ADD COLUMN breaker TEXT;
ALTER TABLE destination ADD COLUMN breaker_state TEXT
  CHECK (CASE WHEN breaker IS NULL THEN breaker_state IS NULL ELSE
    CASE breaker_state WHEN 'closed' THEN 1 WHEN 'open' THEN 1 WHEN 'half-open' THEN 1 ELSE 0 END
  END);
ALTER TABLE destination ADD COLUMN open_until INTEGER
  CHECK (open_until IS NULL OR breaker_state = 'open');
ALTER TABLE destination ADD COLUMN breaker_at INTEGER;
-- A rate of its own (NULL: the setting's), and the theoretical arrival time of GCRA, in microseconds.
ALTER TABLE destination ADD COLUMN rate_per_second REAL CHECK (rate_per_second > 0);
ALTER TABLE destination ADD COLUMN rate_us INTEGER;

DROP INDEX destination_ready;
-- `caller_id` is in it so that those of callers who have enough are passed over without their rows.
CREATE INDEX destination_ready ON destination (ready_at, seq, caller_id)
  WHERE ready_at IS NOT NULL AND paused_at IS NULL AND held_at IS NULL;
DROP INDEX destination_full;
CREATE INDEX destination_full ON destination (full_slots, caller_id)
  WHERE full_slots IS NOT NULL AND paused_at IS NULL AND held_at IS NULL;
CREATE INDEX destination_breaker ON destination (breaker_state) WHERE breaker_state IS NOT NULL;
CREATE INDEX destination_stopped ON destination (seq)
  WHERE paused_at IS NOT NULL OR held_at IS NOT NULL;

-- URLs of a destination that have failed, each with the breaker of its own. Its deliveries wait in a
-- line of their own once it has opened, so that they keep nobody else's waiting; `ready_at` as of
-- destinations, of that line alone.
CREATE TABLE target (
  seq INTEGER PRIMARY KEY AUTOINCREMENT,
  destination_seq INTEGER NOT NULL,
  url TEXT NOT NULL,
  breaker TEXT,
  breaker_state TEXT
    CHECK (CASE WHEN breaker IS NULL THEN breaker_state IS NULL ELSE
      CASE breaker_state WHEN 'closed' THEN 1 WHEN 'open' THEN 1 WHEN 'half-open' THEN 1 ELSE 0 END
    END),
  open_until INTEGER CHECK (open_until IS NULL OR breaker_state = 'open'),
  breaker_at INTEGER NOT NULL,
  ready_at INTEGER,
  UNIQUE (destination_seq, url)
) STRICT;
CREATE INDEX target_ready ON target (destination_seq, ready_at) WHERE ready_at IS NOT NULL;
CREATE INDEX target_idle ON target (breaker_at) WHERE ready_at IS NULL;
CREATE INDEX target_breaker ON target (breaker_state) WHERE breaker_state IS NOT NULL;

-- The line that a delivery waits in: 0 is the destination's, else a target's.
ALTER TABLE delivery ADD COLUMN target_seq INTEGER NOT NULL DEFAULT 0;
-- Those that are sent one at a time share a `chain`; `on_dead` says what a dead one does to the rest.
ALTER TABLE delivery ADD COLUMN chain TEXT;
ALTER TABLE delivery ADD COLUMN on_dead TEXT
  CHECK (CASE WHEN chain IS NULL THEN on_dead IS NULL ELSE
    CASE on_dead WHEN 'skip' THEN 1 WHEN 'block' THEN 1 ELSE 0 END
  END);
-- Pending behind an earlier one of its chain: not to be claimed yet.
ALTER TABLE delivery ADD COLUMN blocked INTEGER NOT NULL DEFAULT 0
  CHECK (CASE blocked WHEN 0 THEN 1 WHEN 1 THEN state = 'pending' AND chain IS NOT NULL ELSE 0 END);

-- Whether it was tried before: first attempts do not wait behind retries.
ALTER TABLE delivery ADD COLUMN retried INTEGER NOT NULL DEFAULT 0 CHECK (retried IN (0, 1));
UPDATE delivery SET retried = 1 WHERE attempt_count > 0;

DROP INDEX delivery_pending;
-- `state` and `blocked` are in it so that what waits is counted without looking at the rows.
CREATE INDEX delivery_pending
  ON delivery (destination_seq, target_seq, retried, due_at, seq, state, blocked)
  WHERE state = 'pending' AND blocked = 0;
DROP INDEX delivery_sending;
-- Slots are counted, and the next to be claimed is found, without looking at the rows.
CREATE INDEX delivery_sending
  ON delivery (
    destination_seq, lease_until, unknown_count, cancel_requested_at, target_seq, state
  )
  WHERE state = 'sending';
CREATE INDEX delivery_blocked ON delivery (destination_seq) WHERE blocked = 1;
-- What stands in the way of the later ones of its chain.
CREATE INDEX delivery_chain ON delivery (chain, seq)
  WHERE chain IS NOT NULL
    AND (state = 'pending' OR state = 'sending' OR (state = 'dead' AND on_dead = 'block'));
