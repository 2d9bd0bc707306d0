-- End the lease of every process but one, at the start of one that is alone. Remote workers live on.
UPDATE dispatcher.holder SET expires_at = $2
WHERE id <> $1 AND expires_at > $2 AND lease_ms IS NULL
