-- Declare a type, or declare it anew.
INSERT INTO job_type (name, declared) VALUES (:name, :declared)
ON CONFLICT (name) DO UPDATE SET declared = excluded.declared
WHERE declared IS NOT excluded.declared
