-- The endpoints of callers, locked to be changed, in the order of all locks of endpoints.
SELECT endpoint.*, caller.terms
FROM dispatcher.endpoint JOIN dispatcher.caller ON caller.id = endpoint.caller_id
WHERE endpoint.seq = ANY (ARRAY (
    SELECT seq FROM dispatcher.endpoint
    WHERE caller_id = ANY ($1::text[]) AND deleted_at IS NULL
  ))
  AND endpoint.deleted_at IS NULL
ORDER BY endpoint.seq
FOR NO KEY UPDATE OF endpoint
