-- Write an entry, unless it is there: the change that it stands with may be sent again.
INSERT INTO audit (
  id, at, action, target, caller_id, via, actor_id, key_id, address, request_id, detail
) VALUES (
  :id, :at, :action, :target, :caller_id, :via, :actor_id, :key_id, :address, :request_id, :detail
) ON CONFLICT (id) DO NOTHING
