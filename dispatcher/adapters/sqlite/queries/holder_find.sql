-- When the lease of a holder ends.
SELECT expires_at FROM holder WHERE id = ?
