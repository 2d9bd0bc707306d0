-- Forget entries past their time.
DELETE FROM dispatcher.audit WHERE seq IN (
  SELECT seq FROM dispatcher.audit WHERE at <= $1 ORDER BY at LIMIT $2 FOR UPDATE SKIP LOCKED
)
