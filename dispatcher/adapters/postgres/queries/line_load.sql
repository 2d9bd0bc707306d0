-- How many leases of a line are alive, and when the first of them ends.
SELECT count(*), min(lease_until) FROM dispatcher.delivery
WHERE destination_seq = $1 AND state = 'sending' AND lease_until > $3 AND target_seq = $2
