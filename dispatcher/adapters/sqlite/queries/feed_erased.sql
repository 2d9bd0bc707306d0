-- The newest event that was erased, of a caller or of anyone (null: none). It is a row a caller.
SELECT max(seq) FROM event_erased WHERE :caller_id IS NULL OR caller_id = :caller_id
