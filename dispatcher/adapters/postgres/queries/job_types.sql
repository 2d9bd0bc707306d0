-- Every type, by name.
SELECT declared FROM dispatcher.job_type ORDER BY name COLLATE "C"
