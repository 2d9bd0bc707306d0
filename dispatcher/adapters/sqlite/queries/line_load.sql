-- How many leases of a line are alive, and when the first of them ends.
SELECT count(*), min(lease_until) FROM delivery
WHERE destination_seq = :seq AND state = 'sending' AND lease_until > :now AND target_seq = :line
