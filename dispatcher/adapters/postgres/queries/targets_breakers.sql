-- Keep how the breakers of targets stand.
UPDATE dispatcher.target AS target
SET
  breaker = kept.breaker, breaker_state = kept.state, open_until = kept.open_until,
  breaker_at = kept.at
FROM unnest($1::bigint[], $2::text[], $3::text[], $4::bigint[], $5::bigint[])
  AS kept (seq, breaker, state, open_until, at)
WHERE target.seq = kept.seq
