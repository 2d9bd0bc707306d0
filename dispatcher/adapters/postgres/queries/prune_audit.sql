-- Forget entries past their time.
DELETE FROM dispatcher.audit WHERE ctid = ANY (ARRAY (
  SELECT ctid FROM dispatcher.audit WHERE at <= $1 ORDER BY at LIMIT $2 FOR UPDATE SKIP LOCKED
))
