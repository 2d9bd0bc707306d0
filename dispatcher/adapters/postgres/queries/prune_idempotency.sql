-- Forget keys past their time.
DELETE FROM dispatcher.idempotency WHERE ctid = ANY (ARRAY (
  SELECT ctid FROM dispatcher.idempotency
  WHERE expires_at <= $1
  ORDER BY expires_at
  LIMIT $2
  FOR UPDATE SKIP LOCKED
))
