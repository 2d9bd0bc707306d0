-- The job that is held under a lease of a remote worker, and when that lease ends.
SELECT job.*, holder.expires_at, holder.ends_at
FROM dispatcher.holder
JOIN dispatcher.job ON job.holder_id = holder.id
WHERE holder.id = $1 AND holder.name = $2 AND holder.lease_ms IS NOT NULL
