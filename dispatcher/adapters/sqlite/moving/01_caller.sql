-- Callers. (Of each file here: the rows of a table behind a key, which its first columns are; no key is before all.)
SELECT seq, id, name, created_at, terms FROM caller
WHERE seq > coalesce(:after, 0)
ORDER BY seq
