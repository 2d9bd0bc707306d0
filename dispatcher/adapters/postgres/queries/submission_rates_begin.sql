-- A bucket for each caller that has none yet, in the order in which they are locked.
INSERT INTO dispatcher.submission_rate (caller_id)
SELECT each FROM unnest($1::text[]) AS each ORDER BY each
ON CONFLICT (caller_id) DO NOTHING
