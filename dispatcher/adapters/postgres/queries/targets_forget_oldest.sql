-- Make room for one more target of a destination: of those in whose line nothing waits, the one that
-- was written longest ago goes, but none of those named.
DELETE FROM dispatcher.target WHERE seq = (
  SELECT seq FROM dispatcher.target
  WHERE destination_seq = $1 AND ready_at IS NULL AND seq <> ALL ($3::bigint[])
    AND (SELECT count(*) FROM dispatcher.target WHERE destination_seq = $1) >= $2::bigint
  ORDER BY breaker_at
  LIMIT 1
)
