-- Whose key a job is ordered by.
SELECT caller_id, ordering_key FROM job WHERE seq = ?
