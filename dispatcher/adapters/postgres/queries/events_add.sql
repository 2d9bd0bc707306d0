-- New events of jobs, in the order given.
INSERT INTO dispatcher.event (id, caller_id, job_seq, type, sequence, at, links_base, data)
SELECT id, caller_id, job_seq, type, sequence, at, $8::text, data
FROM unnest(
    $1::text[], $2::text[], $3::bigint[], $4::text[], $5::bigint[], $6::bigint[], $7::bytea[]
  )
  WITH ORDINALITY AS new (id, caller_id, job_seq, type, sequence, at, data, place)
ORDER BY place
