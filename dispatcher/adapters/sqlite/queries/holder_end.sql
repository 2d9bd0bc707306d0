-- End a holder's lease at once.
UPDATE holder SET expires_at = :now WHERE id = :id AND expires_at > :now
