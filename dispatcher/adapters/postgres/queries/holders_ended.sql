-- Whether the lease of a holder has ended. The table has a row a process: it is read whole.
SELECT 1 FROM dispatcher.holder WHERE expires_at <= $1 LIMIT 1
