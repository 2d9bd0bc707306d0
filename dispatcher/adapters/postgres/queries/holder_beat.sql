-- A holder's beat: its lease now ends later, unless it had ended.
UPDATE dispatcher.holder SET expires_at = clock.now + $2::bigint
FROM (
  SELECT coalesce($3::bigint, floor(extract(epoch FROM clock_timestamp()) * 1000)::bigint) AS now
) AS clock
WHERE holder.id = $1::text AND holder.expires_at > clock.now
RETURNING 1
