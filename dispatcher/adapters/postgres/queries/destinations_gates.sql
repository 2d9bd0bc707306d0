-- What decides how many more may be sent to destinations now: the breaker, the rate, whether one is
-- paused or held, whether it is an endpoint's, whether URLs of it have lines of their own, how many
-- leases are alive, and when the first of them ends.
SELECT
  destination.seq,
  destination.breaker,
  destination.rate_per_second,
  destination.rate_us,
  destination.paused_at IS NOT NULL OR destination.held_at IS NOT NULL,
  destination.endpoint_id <> '',
  EXISTS (SELECT 1 FROM dispatcher.target WHERE target.destination_seq = destination.seq),
  load.alive,
  load.first_until
FROM unnest($1::bigint[]) AS wanted (seq)
JOIN dispatcher.destination ON destination.seq = wanted.seq
CROSS JOIN LATERAL (
  SELECT count(*) AS alive, min(lease_until) AS first_until FROM dispatcher.delivery
  WHERE destination_seq = wanted.seq AND state = 'sending' AND lease_until > $2
) AS load
