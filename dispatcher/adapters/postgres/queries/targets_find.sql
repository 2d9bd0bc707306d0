-- The targets of destinations, by their URLs, with their breakers.
SELECT target.destination_seq, target.url, target.seq, target.breaker
FROM unnest($1::bigint[], $2::text[]) AS wanted (destination_seq, url)
JOIN dispatcher.target
  ON target.destination_seq = wanted.destination_seq AND target.url = wanted.url
