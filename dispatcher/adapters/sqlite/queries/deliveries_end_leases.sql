-- End the lease of every delivery: at the start of a process that is alone.
UPDATE delivery SET lease_until = :now WHERE state = 'sending' AND lease_until > :now
