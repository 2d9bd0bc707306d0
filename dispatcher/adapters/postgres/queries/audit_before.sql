-- Entries, newest first.
SELECT
  seq, id, at, action, target, caller_id, via, actor_id, key_id, address, request_id, detail
FROM dispatcher.audit
WHERE seq < $1
ORDER BY seq DESC
LIMIT $2
