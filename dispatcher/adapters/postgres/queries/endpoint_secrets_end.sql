-- Let the secrets of an endpoint end at an instant, unless they end sooner.
UPDATE dispatcher.endpoint_secret SET expires_at = least(expires_at, $2::bigint)
WHERE endpoint_id = $1
