-- What a caller changes of an endpoint, in the place of the version before. Another URL begins anew.
UPDATE dispatcher.endpoint SET
  failing_since = CASE WHEN url = $3 THEN failing_since END,
  url = $3,
  origin = $4,
  events = $5,
  headers = $6,
  sealed_headers = $7,
  schedule = $8,
  ordered = $9,
  rate_limit = $10,
  version = $11
WHERE id = $1 AND caller_id = $2 AND version = $11 - 1 AND deleted_at IS NULL
RETURNING 1
