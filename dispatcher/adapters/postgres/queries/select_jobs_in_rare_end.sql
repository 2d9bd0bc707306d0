-- A caller's jobs that ended in a way that is rare, oldest first. What is added to the caller keeps
-- it off the index of callers, by which it would look at all of theirs.
SELECT job.* FROM dispatcher.job
WHERE state = $5 AND state IN ('failed', 'canceled', 'expired') AND seq > $1 AND seq <= $2
  AND caller_id || '' = $4
  AND ($6::text IS NULL OR type = $6)
  AND ($7::text IS NULL OR queue = $7)
  AND ($8::bigint IS NULL OR created_at > $8)
  AND ($9::bigint IS NULL OR created_at < $9)
  AND NOT starts_with(type, $10)
ORDER BY seq
LIMIT $3
