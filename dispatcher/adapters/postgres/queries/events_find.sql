-- Which events were written already, each with its job.
SELECT id, job_seq FROM dispatcher.event WHERE id = ANY ($1::text[])
