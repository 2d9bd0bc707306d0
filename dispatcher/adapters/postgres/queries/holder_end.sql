-- End holders' leases at once.
UPDATE dispatcher.holder SET expires_at = $2::bigint
WHERE id = ANY ($1::text[]) AND expires_at > $2::bigint
