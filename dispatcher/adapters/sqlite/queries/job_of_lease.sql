-- The job that is held under a lease of a remote worker, and when that lease ends.
SELECT job.*, holder.expires_at, holder.ends_at
FROM holder
CROSS JOIN job ON job.holder_id = holder.id
WHERE holder.id = :lease AND holder.name = :owner AND holder.lease_ms IS NOT NULL
