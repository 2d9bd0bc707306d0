-- Make room for one more target of a destination: of those in whose line nothing waits, the one that
-- was written longest ago goes.
DELETE FROM target WHERE seq = (
  SELECT seq FROM target
  WHERE destination_seq = :seq AND ready_at IS NULL
    AND (SELECT count(*) FROM target WHERE destination_seq = :seq) >= :most
  ORDER BY breaker_at
  LIMIT 1
)
