-- The line that deliveries for a URL wait in: the target's while its breaker is not closed.
SELECT seq FROM dispatcher.target
WHERE destination_seq = $1 AND url = $2 AND breaker_state <> 'closed'
