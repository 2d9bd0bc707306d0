-- Jobs with their inputs, by their numbers (a JSON array).
SELECT job.*, job_input.body
FROM json_each(?) AS wanted
CROSS JOIN job ON job.seq = wanted.value
JOIN job_input ON job_input.job_seq = job.seq
