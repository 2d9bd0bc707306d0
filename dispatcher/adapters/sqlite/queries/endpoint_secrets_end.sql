-- Let the secrets of an endpoint end at an instant, unless they end sooner.
UPDATE endpoint_secret SET expires_at = min(coalesce(expires_at, :until), :until)
WHERE endpoint_id = :endpoint_id
