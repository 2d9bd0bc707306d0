-- The target of a destination, by its URL.
SELECT seq, breaker FROM dispatcher.target WHERE destination_seq = $1 AND url = $2
