-- Give a leased delivery back unsent.
UPDATE delivery SET state = 'pending', lease = NULL, lease_until = NULL, due_at = :due_at
WHERE seq = :seq AND state = 'sending' AND lease = :lease
