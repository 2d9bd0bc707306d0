-- Whether a delivery is under a lease.
SELECT 1 FROM dispatcher.delivery WHERE id = $1 AND lease = $2
