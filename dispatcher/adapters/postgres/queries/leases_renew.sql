-- Make remote workers' leases last from now on, but for those that have ended, in one order. Gives
-- with each whether its job was asked to stop.
WITH lasting AS (
  SELECT holder.id
  FROM unnest($1::text[], $2::text[]) AS wanted (id, owner)
  JOIN dispatcher.holder ON holder.id = wanted.id AND holder.name = wanted.owner
  WHERE holder.lease_ms IS NOT NULL
  ORDER BY holder.id COLLATE "C"
  FOR NO KEY UPDATE OF holder
)
UPDATE dispatcher.holder AS holder SET
  expires_at = least(clock.now + holder.lease_ms, holder.ends_at)
FROM lasting, (
  SELECT coalesce($3::bigint, floor(extract(epoch FROM clock_timestamp()) * 1000)::bigint) AS now
) AS clock
WHERE holder.id = lasting.id AND holder.expires_at > clock.now
RETURNING holder.id, holder.name, holder.expires_at, (
  SELECT job.cancel_requested_at IS NOT NULL FROM dispatcher.job WHERE job.holder_id = holder.id
)
