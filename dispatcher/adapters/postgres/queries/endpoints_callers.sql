-- Whose endpoints are.
SELECT DISTINCT caller_id FROM dispatcher.endpoint WHERE id = ANY ($1::text[])
