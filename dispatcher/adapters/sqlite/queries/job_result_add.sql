-- The result of a job.
INSERT INTO job_result (job_seq, body) VALUES (?, ?)
