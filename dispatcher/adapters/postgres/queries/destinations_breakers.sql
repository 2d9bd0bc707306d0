-- Keep how the breakers of destinations stand.
UPDATE dispatcher.destination AS destination
SET
  breaker = kept.breaker, breaker_state = kept.state, open_until = kept.open_until,
  breaker_at = kept.at
FROM unnest($1::bigint[], $2::text[], $3::text[], $4::bigint[], $5::bigint[])
  AS kept (seq, breaker, state, open_until, at)
WHERE destination.seq = kept.seq
