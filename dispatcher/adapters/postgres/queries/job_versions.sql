-- The versions of some jobs.
SELECT id, version FROM dispatcher.job WHERE id = ANY ($1::text[])
