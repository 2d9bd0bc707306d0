-- Entries about one thing, newest first.
SELECT
  seq, id, at, action, target, caller_id, via, actor_id, key_id, address, request_id, detail
FROM dispatcher.audit
WHERE target = $3 AND seq < $1
ORDER BY seq DESC
LIMIT $2
