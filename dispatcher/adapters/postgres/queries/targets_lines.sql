-- The lines that deliveries for URLs wait in, while the breakers of these are not closed: each with
-- its breaker, how many of its leases are alive, and when the first of them ends.
SELECT
  target.destination_seq, target.url, target.seq, target.breaker, load.alive, load.first_until
FROM unnest($1::bigint[], $2::text[]) AS wanted (destination_seq, url)
JOIN dispatcher.target
  ON target.destination_seq = wanted.destination_seq AND target.url = wanted.url
  AND target.breaker_state <> 'closed'
CROSS JOIN LATERAL (
  SELECT count(*) AS alive, min(lease_until) AS first_until FROM dispatcher.delivery
  WHERE destination_seq = target.destination_seq AND state = 'sending' AND lease_until > $3
    AND target_seq = target.seq
) AS load
