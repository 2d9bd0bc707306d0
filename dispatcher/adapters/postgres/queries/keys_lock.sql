-- Lock keys, in the order of all locks of keys; those that are not there are made.
INSERT INTO dispatcher.ordering_key AS known (caller_id, key)
SELECT caller_id, key FROM unnest($1::text[], $2::text[]) AS wanted (caller_id, key)
ORDER BY caller_id COLLATE "C", key COLLATE "C"
ON CONFLICT (caller_id, key) DO UPDATE SET key = excluded.key
