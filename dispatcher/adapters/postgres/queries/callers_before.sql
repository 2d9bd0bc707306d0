-- Callers, newest first.
SELECT seq, id, name, created_at, terms FROM dispatcher.caller WHERE seq < $1 ORDER BY seq DESC LIMIT $2
