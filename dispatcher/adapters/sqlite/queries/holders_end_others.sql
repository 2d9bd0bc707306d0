-- End the lease of every holder but one: at the start of a process that is alone.
UPDATE holder SET expires_at = :now WHERE id <> :id AND expires_at > :now
