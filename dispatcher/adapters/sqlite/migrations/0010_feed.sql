-- How far each caller's events have been erased: who comes back with a cursor from before is told
-- that there is a gap. A trigger, so that no way of erasing events can forget it; a job's events go
-- with it by foreign key, which fires it too.
CREATE TABLE event_erased (
  caller_id TEXT PRIMARY KEY,
  seq INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TRIGGER event_erased_newest AFTER DELETE ON event BEGIN
  INSERT INTO event_erased (caller_id, seq) VALUES (old.caller_id, old.seq)
  ON CONFLICT (caller_id) DO UPDATE SET seq = max(seq, excluded.seq);
END;
