-- A caller's jobs of a kind, oldest first; without `state`, those that have not ended.
SELECT job.* FROM job
WHERE caller_id = :caller_id AND seq > :after AND seq <= :until
  AND CASE WHEN :state IS NULL THEN finished_at IS NULL ELSE state = :state END
  AND (:type IS NULL OR type = :type)
  AND (:queue IS NULL OR queue = :queue)
  AND (:created_after IS NULL OR created_at > :created_after)
  AND (:created_before IS NULL OR created_at < :created_before)
  AND substr(type, 1, length(:built_in)) <> :built_in
ORDER BY seq
LIMIT :limit
