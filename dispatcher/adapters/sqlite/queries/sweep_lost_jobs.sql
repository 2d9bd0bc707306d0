-- Running jobs whose holder's lease has ended.
SELECT job.* FROM holder
CROSS JOIN job ON job.holder_id = holder.id
WHERE holder.expires_at <= :now
ORDER BY holder.expires_at, job.seq
LIMIT :limit
