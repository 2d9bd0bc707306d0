-- Callers, newest first.
SELECT seq, id, name, created_at FROM caller
WHERE seq < :before
ORDER BY seq DESC
LIMIT :limit
