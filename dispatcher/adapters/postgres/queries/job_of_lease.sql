-- The job that is held under a lease of a remote worker, when that lease ends, and what enabled
-- endpoints of its caller are subscribed to.
SELECT
  job.*, holder.expires_at AS lease_until, holder.ends_at,
  (
    SELECT string_agg(endpoint.events, ' ') FROM dispatcher.endpoint
    WHERE endpoint.caller_id = job.caller_id
      AND endpoint.deleted_at IS NULL AND endpoint.disabled_at IS NULL
  ) AS asked
FROM dispatcher.holder
JOIN dispatcher.job ON job.holder_id = holder.id
WHERE holder.id = $1 AND holder.name = $2 AND holder.lease_ms IS NOT NULL
