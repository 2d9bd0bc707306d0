-- Bulk operations, and what was erased.
--
-- How far the bulk operation of a job has come. `after_seq` is the number of the job or delivery
-- behind which it goes on; `total` is NULL where it was too much to count.
CREATE TABLE bulk (
  job_seq INTEGER PRIMARY KEY REFERENCES job (seq) ON DELETE CASCADE,
  after_seq INTEGER NOT NULL CHECK (after_seq >= 0),
  matched INTEGER NOT NULL CHECK (matched >= changed + skipped),
  changed INTEGER NOT NULL CHECK (changed >= 0),
  skipped INTEGER NOT NULL CHECK (skipped >= 0),
  total INTEGER,
  ended INTEGER NOT NULL CHECK (ended IN (0, 1))
) STRICT;

-- The ids of jobs and deliveries that were there and are erased: kept for a while, so that whoever
-- asks for one hears that it is gone rather than that it never was.
CREATE TABLE erased (
  id TEXT PRIMARY KEY,
  caller_id TEXT NOT NULL,
  erased_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX erased_age ON erased (erased_at);
