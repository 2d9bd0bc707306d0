-- An API key by its digest, and whose it is.
SELECT
  api_key.id, api_key.role, api_key.created_at, api_key.expires_at, api_key.revoked_at,
  caller.id, caller.name, caller.created_at, caller.terms
FROM dispatcher.api_key
JOIN dispatcher.caller ON caller.id = api_key.caller_id
WHERE api_key.digest = $1
