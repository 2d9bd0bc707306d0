-- The same of what waits there behind others of its chain, which is canceled too.
UPDATE delivery SET state = 'canceled', finished_at = :at, blocked = 0
WHERE seq IN (
  SELECT seq FROM delivery WHERE destination_seq = :destination_seq AND blocked = 1 LIMIT :limit
)
