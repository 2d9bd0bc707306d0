-- A caller's jobs that ended in a way that is rare, oldest first. The `+` keeps it off the index of
-- callers, by which it would look at all of theirs.
SELECT job.* FROM job
WHERE state = :state AND state IN ('failed', 'canceled', 'expired')
  AND seq > :after AND seq <= :until
  AND +caller_id = :caller_id
  AND (:type IS NULL OR type = :type)
  AND (:queue IS NULL OR queue = :queue)
  AND (:created_after IS NULL OR created_at > :created_after)
  AND (:created_before IS NULL OR created_at < :created_before)
  AND substr(type, 1, length(:built_in)) <> :built_in
ORDER BY seq
LIMIT :limit
