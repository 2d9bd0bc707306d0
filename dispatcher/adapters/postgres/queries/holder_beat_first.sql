-- A holder's first beat: it is made. One that was made by a beat whose answer was lost goes on, unless
-- its lease has ended.
INSERT INTO dispatcher.holder AS holder (id, name, expires_at)
SELECT
  $1::text, $2::text, coalesce($4::bigint, floor(extract(epoch FROM clock_timestamp()) * 1000)::bigint)
    + $3::bigint
ON CONFLICT (id) DO UPDATE SET expires_at = excluded.expires_at
WHERE holder.expires_at > excluded.expires_at - $3::bigint
RETURNING 1
