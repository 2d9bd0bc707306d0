-- Keep when the next may go by the rates of destinations.
UPDATE dispatcher.destination AS destination
SET rate_us = wanted.rate_us
FROM unnest($1::bigint[], $2::bigint[]) AS wanted (seq, rate_us)
WHERE destination.seq = wanted.seq
