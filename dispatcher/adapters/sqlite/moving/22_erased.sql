-- What was erased.
SELECT id, caller_id, erased_at FROM erased
WHERE id > coalesce(:after, '')
ORDER BY id
