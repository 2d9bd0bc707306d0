-- New events of jobs, in the order given.
INSERT INTO dispatcher.event (id, job_seq, type, sequence, at, links_base, data)
SELECT id, job_seq, type, sequence, at, $7::text, data
FROM unnest($1::text[], $2::bigint[], $3::text[], $4::bigint[], $5::bigint[], $6::bytea[])
  WITH ORDINALITY AS new (id, job_seq, type, sequence, at, data, place)
ORDER BY place
