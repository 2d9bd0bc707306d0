-- The endpoints of every caller, newest first.
SELECT endpoint.*, caller.terms
FROM dispatcher.endpoint JOIN dispatcher.caller ON caller.id = endpoint.caller_id
WHERE endpoint.deleted_at IS NULL AND endpoint.seq < $1
ORDER BY endpoint.seq DESC
LIMIT $2
