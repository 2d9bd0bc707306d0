-- The newest event of everyone, kept or erased; 0 if there was none.
SELECT max(
  coalesce((SELECT max(seq) FROM event), 0),
  coalesce((SELECT max(seq) FROM event_erased), 0)
)
