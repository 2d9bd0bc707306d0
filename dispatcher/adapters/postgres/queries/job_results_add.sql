-- The results of jobs.
INSERT INTO dispatcher.job_result (job_seq, body) SELECT * FROM unnest($1::bigint[], $2::bytea[])
