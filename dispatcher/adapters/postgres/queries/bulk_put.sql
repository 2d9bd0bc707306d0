-- Keep how far the bulk operation of a job has come.
INSERT INTO dispatcher.bulk (job_seq, after_seq, matched, changed, skipped, total, ended)
VALUES ($1, $2, $3, $4, $5, $6, $7)
ON CONFLICT (job_seq) DO UPDATE SET
  after_seq = excluded.after_seq,
  matched = excluded.matched,
  changed = excluded.changed,
  skipped = excluded.skipped,
  total = excluded.total,
  ended = excluded.ended
