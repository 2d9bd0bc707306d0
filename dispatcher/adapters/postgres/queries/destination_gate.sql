-- What decides how many more may be sent to a destination now: its breaker, its rate, whether it is
-- paused or held, whether it is an endpoint's, whether URLs of it have lines of their own, how many
-- leases are alive, and when the first of them ends.
SELECT
  breaker,
  rate_per_second,
  rate_us,
  paused_at IS NOT NULL OR held_at IS NOT NULL,
  endpoint_id <> '',
  EXISTS (SELECT 1 FROM dispatcher.target WHERE target.destination_seq = destination.seq),
  load.alive,
  load.first_until
FROM dispatcher.destination
CROSS JOIN (
  SELECT count(*) AS alive, min(lease_until) AS first_until FROM dispatcher.delivery
  WHERE destination_seq = $1 AND state = 'sending' AND lease_until > $2
) AS load
WHERE seq = $1
