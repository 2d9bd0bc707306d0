-- Callers, newest first.
SELECT seq, id, name, created_at, terms FROM caller
WHERE seq < :before
ORDER BY seq DESC
LIMIT :limit
