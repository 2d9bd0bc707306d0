-- The line that deliveries for a URL wait in: the target's while its breaker is not closed.
SELECT seq FROM target
WHERE destination_seq = :seq AND url = :url AND breaker_state <> 'closed'
