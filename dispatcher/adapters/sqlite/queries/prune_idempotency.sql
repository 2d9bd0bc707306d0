-- Forget keys past their time.
DELETE FROM idempotency WHERE (caller_id, key) IN (
  SELECT caller_id, key FROM idempotency WHERE expires_at <= :now ORDER BY expires_at LIMIT :limit
)
