-- The newest event of each of some callers, kept or erased; 0 if there was none.
SELECT
  wanted.value,
  max(
    coalesce((SELECT max(event.seq) FROM event WHERE event.caller_id = wanted.value), 0),
    coalesce((SELECT seq FROM event_erased WHERE event_erased.caller_id = wanted.value), 0)
  )
FROM json_each(:caller_ids) AS wanted
