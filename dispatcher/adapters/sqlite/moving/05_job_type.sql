-- Types of jobs.
SELECT name, declared FROM job_type
WHERE name > coalesce(:after, '')
ORDER BY name
