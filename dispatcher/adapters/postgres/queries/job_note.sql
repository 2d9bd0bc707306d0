-- What a running job, which is locked, tells: its progress, and that an event is stored.
UPDATE dispatcher.job SET
  progress = coalesce($2, progress),
  event_count = event_count + $3::bigint,
  version = version + 1
WHERE seq = $1
