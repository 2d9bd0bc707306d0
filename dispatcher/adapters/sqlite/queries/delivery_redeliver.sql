-- Begin a new round. The destination may have been forgotten and made again meanwhile.
UPDATE delivery SET
  state = 'pending',
  destination_seq = :destination_seq,
  target_seq = :line,
  blocked = :blocked,
  due_at = :due_at,
  finished_at = NULL,
  entries_used = 0,
  unknown_count = 0,
  round = :round,
  redelivered_at = :at,
  cancel_requested_at = NULL
WHERE seq = :seq AND round = :round - 1 AND state IN ('delivered', 'dead', 'canceled')
