-- Forget destinations, which are locked, if nothing is open for them: one is made again when it is
-- needed. That of an endpoint gets the endpoint's rate then.
DELETE FROM dispatcher.destination
WHERE seq = ANY ($1::bigint[])
  AND coalesce(
    (SELECT seq FROM dispatcher.target WHERE destination_seq = destination.seq LIMIT 1),
    (
      SELECT seq FROM dispatcher.delivery
      WHERE destination_seq = destination.seq AND state = 'sending'
      LIMIT 1
    ),
    (
      SELECT seq FROM dispatcher.delivery
      WHERE destination_seq = destination.seq AND state = 'pending' AND NOT blocked
      LIMIT 1
    ),
    (
      SELECT seq FROM dispatcher.delivery
      WHERE destination_seq = destination.seq AND blocked
      LIMIT 1
    )
  ) IS NULL
