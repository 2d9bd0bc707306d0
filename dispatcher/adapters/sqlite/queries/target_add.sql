-- A URL of a destination that has failed.
INSERT INTO target (destination_seq, url, breaker, breaker_state, open_until, breaker_at)
VALUES (:seq, :url, :breaker, :state, :open_until, :now)
RETURNING seq
