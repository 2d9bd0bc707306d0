-- Order by key, queues that are paused, leases of remote workers, and what was running at a crash.

-- Where a job stands in the order of its key:
--   0  it has no key
--   1  the front: it has begun, or is the next to begin; the only one of its key that is claimed
--   2  scheduled: it joins its key's order when it first becomes due
--   3  behind: it has joined, and waits for the front to end
--   4  it has ended
-- What is behind is in no index that claims look at, however much it is. These indexes depend on
-- `key_place` alone, so that what has no key pays next to nothing for them.
ALTER TABLE job ADD COLUMN key_place INTEGER NOT NULL DEFAULT 0
  CHECK (key_place BETWEEN 0 AND 4 AND (key_place = 0) = (ordering_key IS NULL));
-- How often the process that ran it was lost with its lease.
ALTER TABLE job ADD COLUMN crash_count INTEGER NOT NULL DEFAULT 0 CHECK (crash_count >= 0);
-- The lease of a remote worker under which it was last ended or put back: the same, said again, is
-- known by it.
ALTER TABLE job ADD COLUMN last_lease TEXT;

-- One job of a key at most is its front: what runs one after another can't run at once.
CREATE UNIQUE INDEX job_front ON job (caller_id, ordering_key)
  WHERE key_place = 1;
CREATE INDEX job_scheduled_of_key ON job (caller_id, ordering_key, due_at, seq)
  WHERE key_place = 2;
CREATE INDEX job_behind ON job (caller_id, ordering_key, seq) WHERE key_place = 3;
CREATE INDEX job_behind_in_lane ON job (lane_seq, due_at, key_place) WHERE key_place = 3;
CREATE INDEX job_last_lease ON job (last_lease) WHERE last_lease IS NOT NULL;

-- `state` and `key_place` are in it so that what waits is counted without looking at the rows.
DROP INDEX job_waiting;
CREATE INDEX job_waiting ON job (lane_seq, priority, due_at, seq, late_at, state, key_place)
  WHERE state = 'waiting' AND key_place < 3;
-- `queue` and `type` are in it so that what runs of one is counted without looking at the rows.
DROP INDEX job_held;
CREATE INDEX job_held ON job (holder_id, queue, type) WHERE holder_id IS NOT NULL;

-- Queues that operators have paused; '' stands for all. `lane.paused_at` follows it: set in each lane
-- of such a queue, those that are made later included.
CREATE TABLE paused_queue (
  queue TEXT PRIMARY KEY,
  paused_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- A holder is a process, or one lease of a remote worker (`name` is then whose it is). Of the latter
-- alone: how long a beat makes it last, and when it ends however often it is beaten.
ALTER TABLE holder ADD COLUMN lease_ms INTEGER CHECK (lease_ms > 0);
ALTER TABLE holder ADD COLUMN ends_at INTEGER
  CHECK ((ends_at IS NULL) = (lease_ms IS NULL));
CREATE INDEX holder_expiry ON holder (expires_at);
