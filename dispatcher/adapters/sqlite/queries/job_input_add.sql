-- The input of a job, kept apart so that lists and claims of others don't read it.
INSERT INTO job_input (job_seq, body) VALUES (?, ?)
