-- What is set for callers, how much waits, and the audit log.

-- `terms` is JSON (`CallerTerms`); NULL: nothing is set.
ALTER TABLE caller ADD COLUMN terms TEXT;

-- How many jobs wait in a lane, and the bytes of their inputs: so that quotas are looked up and not
-- counted. Whatever moves a job into waiting or out of it keeps them (`lanes.py`); a job that is
-- handed off at once does neither, so the shortest path pays nothing for them.
ALTER TABLE lane ADD COLUMN waiting INTEGER NOT NULL DEFAULT 0;
ALTER TABLE lane ADD COLUMN waiting_bytes INTEGER NOT NULL DEFAULT 0;
CREATE INDEX lane_of_queue ON lane (queue);

UPDATE lane SET
  waiting = (SELECT count(*) FROM job WHERE lane_seq = lane.seq AND state = 'waiting'),
  waiting_bytes = (
    SELECT coalesce(sum(length(job_input.body)), 0)
    FROM job JOIN job_input ON job_input.job_seq = job.seq
    WHERE job.lane_seq = lane.seq AND job.state = 'waiting'
  );

-- Things done by hand. `actor_*`, `address` and `request_id` say by whom; `caller_id` whose thing it
-- was that was done something to; `detail` is a JSON object.
CREATE TABLE audit (
  seq INTEGER PRIMARY KEY AUTOINCREMENT,
  id TEXT NOT NULL UNIQUE,
  at INTEGER NOT NULL,
  action TEXT NOT NULL,
  target TEXT NOT NULL,
  caller_id TEXT,
  via TEXT NOT NULL CHECK (via IN ('api', 'cli')),
  actor_id TEXT,
  key_id TEXT,
  address TEXT,
  request_id TEXT,
  detail TEXT NOT NULL
) STRICT;
CREATE INDEX audit_at ON audit (at);
CREATE INDEX audit_of_target ON audit (target);
CREATE INDEX audit_of_caller ON audit (caller_id) WHERE caller_id IS NOT NULL;
