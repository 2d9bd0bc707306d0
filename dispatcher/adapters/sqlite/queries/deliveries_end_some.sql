-- Cancel some of what is pending at a destination whose endpoint was deleted.
UPDATE delivery SET state = 'canceled', finished_at = :at
WHERE seq IN (
  SELECT seq FROM delivery
  WHERE destination_seq = :destination_seq AND state = 'pending' AND blocked = 0
  LIMIT :limit
)
