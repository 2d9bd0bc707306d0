-- Entries about what is one caller's, newest first.
SELECT
  seq, id, at, action, target, caller_id, via, actor_id, key_id, address, request_id, detail
FROM audit
WHERE caller_id = :caller_id AND seq < :before
ORDER BY seq DESC
LIMIT :look
