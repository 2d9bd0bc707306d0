-- Entries about one thing, newest first.
SELECT
  seq, id, at, action, target, caller_id, via, actor_id, key_id, address, request_id, detail
FROM audit
WHERE target = :target AND seq < :before
ORDER BY seq DESC
LIMIT :look
