-- End the lease of every process but one, at the start of one that is alone. Remote workers live on.
UPDATE holder SET expires_at = :now WHERE id <> :id AND expires_at > :now AND lease_ms IS NULL
