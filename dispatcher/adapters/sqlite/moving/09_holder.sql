-- Who holds running jobs.
SELECT id, name, expires_at, lease_ms, ends_at FROM holder
WHERE id > coalesce(:after, '')
ORDER BY id
