-- What a caller changes of an endpoint. Another URL begins anew.
UPDATE endpoint SET
  failing_since = CASE WHEN url = :url THEN failing_since END,
  url = :url,
  origin = :origin,
  events = :events,
  headers = :headers,
  sealed_headers = :sealed_headers,
  schedule = :schedule,
  ordered = :ordered,
  rate_limit = :rate_limit,
  version = :version
WHERE id = :id AND version = :version - 1 AND deleted_at IS NULL
