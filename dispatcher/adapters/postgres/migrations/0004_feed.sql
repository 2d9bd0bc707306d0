-- The feed, bulk operations, and what was erased.
--
-- An event's place in the feed is the pair (xid, seq). From now on `xid` is not the number of the
-- transaction alone, which is given out at its first lock: a transaction that locked something early
-- and then waited for a job would tell of that job with a place before what the job told meanwhile.
-- It is no less than the number of any transaction that had ended when the event was written, either
-- (the highest of those is the one before a snapshot's `xmax`). So what is written under a lock that
-- another has held comes behind what that other wrote. And it is still no less than the own number:
-- what is below every transaction under way can't appear any more.
ALTER TABLE dispatcher.event ALTER COLUMN xid SET DEFAULT greatest(
  pg_current_xact_id(),
  (pg_snapshot_xmax(pg_current_snapshot())::text::bigint - 1)::text::xid8
);
CREATE INDEX event_order ON dispatcher.event (xid, seq);

-- How far each caller's events have been erased: who comes back with a cursor from before is told
-- that there is a gap. A trigger, so that no way of erasing events can forget it: once a statement,
-- callers in one order.
CREATE TABLE dispatcher.event_erased (
  caller_id text PRIMARY KEY,
  xid xid8 NOT NULL,
  seq bigint NOT NULL
) WITH (fillfactor = 50);
CREATE FUNCTION dispatcher.event_erased_newest() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  INSERT INTO dispatcher.event_erased AS known (caller_id, xid, seq)
  SELECT DISTINCT ON (caller_id) caller_id, xid, seq
  FROM gone
  ORDER BY caller_id, xid DESC, seq DESC
  ON CONFLICT (caller_id) DO UPDATE SET xid = excluded.xid, seq = excluded.seq
  WHERE (excluded.xid, excluded.seq) > (known.xid, known.seq);
  RETURN NULL;
END
$$;
CREATE TRIGGER event_erased_newest AFTER DELETE ON dispatcher.event
  REFERENCING OLD TABLE AS gone
  FOR EACH STATEMENT EXECUTE FUNCTION dispatcher.event_erased_newest();

-- How far the bulk operation of a job has come. `after_seq` is the number of the job or delivery
-- behind which it goes on; `total` is NULL where it was too much to count.
CREATE TABLE dispatcher.bulk (
  job_seq bigint PRIMARY KEY,
  after_seq bigint NOT NULL CHECK (after_seq >= 0),
  matched bigint NOT NULL CHECK (matched >= changed + skipped),
  changed bigint NOT NULL CHECK (changed >= 0),
  skipped bigint NOT NULL CHECK (skipped >= 0),
  total bigint,
  ended boolean NOT NULL
) WITH (fillfactor = 50);

-- The ids of jobs and deliveries that were there and are erased: kept for a while, so that whoever
-- asks for one hears that it is gone rather than that it never was.
CREATE TABLE dispatcher.erased (
  id text PRIMARY KEY,
  caller_id text NOT NULL,
  erased_at bigint NOT NULL
);
CREATE INDEX erased_age ON dispatcher.erased (erased_at);
