-- Forget entries past their time.
DELETE FROM audit WHERE seq IN (
  SELECT seq FROM audit WHERE at <= :before ORDER BY at LIMIT :limit
)
