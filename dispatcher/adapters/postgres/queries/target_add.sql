-- A URL of a destination that has failed.
INSERT INTO dispatcher.target (
  destination_seq, url, breaker, breaker_state, open_until, breaker_at
) VALUES ($1, $2, $3, $4, $5, $6)
RETURNING seq
