-- The scheduled jobs of a key that have become due join its order, the first due first.
UPDATE job SET key_place = 3 WHERE seq IN (
  SELECT seq FROM job
  WHERE caller_id = :caller_id AND ordering_key = :key
    AND key_place = 2 AND due_at <= :now
  ORDER BY due_at, seq
  LIMIT :limit
)
