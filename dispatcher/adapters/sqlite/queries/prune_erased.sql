-- Forget what was erased long ago.
DELETE FROM erased WHERE id IN (
  SELECT id FROM erased WHERE erased_at <= :since ORDER BY erased_at LIMIT :limit
)
