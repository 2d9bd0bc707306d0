-- The same of those that ended in a way that is rare: nothing else of the caller's is looked at.
SELECT max(seq), count(*) FROM (
  SELECT seq FROM delivery
  WHERE caller_id = :caller_id AND state = :state AND (state = 'dead' OR state = 'canceled')
    AND seq > :after
  ORDER BY seq
  LIMIT :look
)
