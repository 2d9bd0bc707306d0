-- Write an entry, unless it is there: the change that it stands with may be sent again.
INSERT INTO dispatcher.audit (
  id, at, action, target, caller_id, via, actor_id, key_id, address, request_id, detail
) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)
ON CONFLICT (id) DO NOTHING
