-- Forget what was erased long ago.
DELETE FROM dispatcher.erased WHERE ctid = ANY (ARRAY (
  SELECT ctid FROM dispatcher.erased
  WHERE erased_at <= $1
  ORDER BY erased_at
  LIMIT $2
  FOR UPDATE SKIP LOCKED
))
