-- Which holders' leases have not ended.
SELECT id FROM dispatcher.holder WHERE id = ANY ($1::text[]) AND expires_at > $2::bigint
