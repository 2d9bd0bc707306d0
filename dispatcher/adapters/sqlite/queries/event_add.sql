-- A new event of a job.
INSERT INTO event (id, job_seq, type, sequence, at, links_base, data)
VALUES (?, ?, ?, ?, ?, ?, ?)
