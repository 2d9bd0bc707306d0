-- Let the signing secrets of a caller end at an instant, unless they end sooner.
UPDATE secret SET expires_at = min(coalesce(expires_at, :until), :until)
WHERE caller_id = :caller_id
