-- End the lease of every holder but one: for a process that is alone.
UPDATE dispatcher.holder SET expires_at = $2 WHERE id <> $1 AND expires_at > $2
