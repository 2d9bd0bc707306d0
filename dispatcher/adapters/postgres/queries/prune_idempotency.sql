-- Forget keys past their time.
DELETE FROM dispatcher.idempotency WHERE (caller_id, key) IN (
  SELECT caller_id, key FROM dispatcher.idempotency
  WHERE expires_at <= $1
  ORDER BY expires_at
  LIMIT $2
  FOR UPDATE SKIP LOCKED
)
