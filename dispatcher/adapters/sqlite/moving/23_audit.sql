-- The audit log.
SELECT
  seq, id, at, action, target, caller_id, via, actor_id, key_id, address, request_id, detail
FROM audit
WHERE seq > coalesce(:after, 0)
ORDER BY seq
