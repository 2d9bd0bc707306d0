-- Endpoints as they are now, those that were deleted too.
SELECT endpoint.*, caller.terms
FROM dispatcher.endpoint JOIN dispatcher.caller ON caller.id = endpoint.caller_id
WHERE endpoint.id = ANY ($1::text[])
