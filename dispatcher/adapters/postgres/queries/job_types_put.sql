-- Declare types, or declare them anew.
INSERT INTO dispatcher.job_type AS known (name, declared)
SELECT * FROM unnest($1::text[], $2::text[])
ON CONFLICT (name) DO UPDATE SET declared = excluded.declared
WHERE known.declared IS DISTINCT FROM excluded.declared
