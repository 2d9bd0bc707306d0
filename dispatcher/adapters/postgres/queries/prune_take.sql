-- Lock jobs that are to be erased, those that nobody has locked, oldest first.
SELECT seq FROM dispatcher.job
WHERE seq = ANY ($1::bigint[])
ORDER BY expires_at, seq
LIMIT $2
FOR UPDATE SKIP LOCKED
