-- How many jobs wait in a queue, of all callers.
SELECT coalesce(sum(waiting), 0) FROM lane WHERE queue = ?
