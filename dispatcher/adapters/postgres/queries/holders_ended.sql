-- Whether the lease of a holder has ended.
SELECT 1 FROM dispatcher.holder WHERE expires_at <= $1 LIMIT 1
