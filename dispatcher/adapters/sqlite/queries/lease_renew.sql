-- Make a remote worker's lease last from now on, unless it has ended.
UPDATE holder SET expires_at = min(:now + lease_ms, ends_at)
WHERE id = :lease AND name = :owner AND lease_ms IS NOT NULL AND expires_at > :now
RETURNING expires_at
