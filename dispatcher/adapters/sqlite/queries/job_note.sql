-- What a running job tells: its progress, and that an event was stored.
UPDATE job SET
  progress = coalesce(:progress, progress),
  event_count = event_count + :events,
  version = version + 1
WHERE seq = :seq AND state = 'running' AND lease = :lease
