-- The versions of some jobs.
SELECT job.id, job.version FROM json_each(:job_ids) AS wanted JOIN job ON job.id = wanted.value
