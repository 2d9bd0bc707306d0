-- The endpoints of a caller, newest first.
SELECT endpoint.*, caller.terms
FROM dispatcher.endpoint JOIN dispatcher.caller ON caller.id = endpoint.caller_id
WHERE endpoint.caller_id = $3 AND endpoint.deleted_at IS NULL AND endpoint.seq < $1
ORDER BY endpoint.seq DESC
LIMIT $2
