-- Running jobs whose holder's lease has ended.
SELECT job.* FROM dispatcher.holder
JOIN dispatcher.job ON job.holder_id = holder.id
WHERE holder.expires_at <= $1
ORDER BY holder.expires_at, job.seq
LIMIT $2
