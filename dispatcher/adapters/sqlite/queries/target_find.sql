-- The target of a destination, by its URL.
SELECT seq, breaker FROM target WHERE destination_seq = :seq AND url = :url
