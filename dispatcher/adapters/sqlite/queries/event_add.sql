-- A new event.
INSERT INTO event (id, caller_id, job_seq, type, sequence, at, links_base, data)
VALUES (?, ?, ?, ?, ?, ?, ?, ?)
