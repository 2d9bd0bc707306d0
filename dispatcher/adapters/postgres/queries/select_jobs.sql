-- A caller's jobs of a kind, oldest first; without a state, those that have not ended.
SELECT job.* FROM dispatcher.job
WHERE caller_id = $4 AND seq > $1 AND seq <= $2
  AND CASE WHEN $5::text IS NULL THEN finished_at IS NULL ELSE state = $5 END
  AND ($6::text IS NULL OR type = $6)
  AND ($7::text IS NULL OR queue = $7)
  AND ($8::bigint IS NULL OR created_at > $8)
  AND ($9::bigint IS NULL OR created_at < $9)
  AND NOT starts_with(type, $10)
ORDER BY seq
LIMIT $3
