-- Every type, by name.
SELECT declared FROM job_type ORDER BY name
