-- A row for each key of which a job is open.
INSERT INTO dispatcher.ordering_key (caller_id, key)
SELECT DISTINCT caller_id, ordering_key FROM dispatcher.job WHERE key_place BETWEEN 1 AND 3
ON CONFLICT (caller_id, key) DO NOTHING
