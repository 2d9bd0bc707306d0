-- End the lease of every delivery: for a process that is alone.
UPDATE dispatcher.delivery SET lease_until = $1 WHERE state = 'sending' AND lease_until > $1
