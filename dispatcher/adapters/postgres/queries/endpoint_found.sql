-- An endpoint by its id, unless it was deleted.
SELECT endpoint.*, caller.terms
FROM dispatcher.endpoint JOIN dispatcher.caller ON caller.id = endpoint.caller_id
WHERE endpoint.id = $1 AND endpoint.deleted_at IS NULL
