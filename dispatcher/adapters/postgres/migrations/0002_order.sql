-- Order by key, queues that are paused, leases of remote workers, and what was running at a crash.
--
-- The columns have defaults and what is new is apart, so that nodes of the version before go on
-- beside it: what they take in has no order by key.

-- Where a job stands in the order of its key:
--   0  it has no key
--   1  the front: it has begun, or is the next to begin; the only one of its key that is claimed
--   2  it has not joined its key's order: it is scheduled, or has become due and no claim has met it
--   3  behind: it has joined, and waits for the front to end
--   4  it has ended
-- Whoever changes it has locked the row of the key.
ALTER TABLE dispatcher.job
  ADD COLUMN key_place smallint NOT NULL DEFAULT 0,
  -- How often the process that ran it was lost with its lease.
  ADD COLUMN crash_count integer NOT NULL DEFAULT 0,
  -- The lease of a remote worker under which it was last ended or put back: the same, said again, is
  -- known by it.
  ADD COLUMN last_lease text;
ALTER TABLE dispatcher.job
  ADD CONSTRAINT job_key_place CHECK (
    key_place BETWEEN 0 AND 4 AND (key_place = 0 OR ordering_key IS NOT NULL)
  ) NOT VALID,
  ADD CONSTRAINT job_crash_count CHECK (crash_count >= 0) NOT VALID;

-- One job of a key at most is its front: what runs one after another can't run at once. Where a key
-- has something behind it has a front.
CREATE UNIQUE INDEX job_front ON dispatcher.job (caller_id, ordering_key) WHERE key_place = 1;
CREATE INDEX job_scheduled_of_key ON dispatcher.job (caller_id, ordering_key, due_at, seq)
  WHERE key_place = 2;
CREATE INDEX job_behind ON dispatcher.job (caller_id, ordering_key, seq) WHERE key_place = 3;
CREATE INDEX job_keyed ON dispatcher.job (id) WHERE key_place BETWEEN 1 AND 3;
CREATE INDEX job_last_lease ON dispatcher.job (last_lease) WHERE last_lease IS NOT NULL;

-- What claims look at. What stands behind a front is not in it, however much it is. All that waits is
-- counted by the other one.
CREATE INDEX job_claimable ON dispatcher.job (lane_seq, priority, due_at, seq)
  INCLUDE (late_at, key_place) WHERE state = 'waiting' AND key_place < 3;
DROP INDEX dispatcher.job_waiting;
CREATE INDEX job_waiting ON dispatcher.job (lane_seq, due_at) WHERE state = 'waiting';

-- A row for each key of which a job is open: whoever changes the order of a key locks it first.
CREATE TABLE dispatcher.ordering_key (
  caller_id text NOT NULL,
  key text NOT NULL,
  PRIMARY KEY (caller_id, key)
) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 1000,
  autovacuum_analyze_scale_factor = 0.02);

-- Queues that operators have paused; '' stands for all. `lane.paused_at` is set in lanes that such a
-- queue had when it was paused, so that claims don't meet them; those that are made later are left out
-- by name.
CREATE TABLE dispatcher.paused_queue (
  queue text PRIMARY KEY,
  paused_at bigint NOT NULL
);

-- A holder is a process, or one lease of a remote worker (`name` is then whose it is). Of the latter
-- alone: how long a beat makes it last, and when it ends however often it is beaten.
ALTER TABLE dispatcher.holder
  ADD COLUMN lease_ms bigint CHECK (lease_ms > 0),
  ADD COLUMN ends_at bigint,
  ADD CONSTRAINT holder_remote CHECK ((ends_at IS NULL) = (lease_ms IS NULL));
CREATE INDEX holder_expiry ON dispatcher.holder (expires_at);
