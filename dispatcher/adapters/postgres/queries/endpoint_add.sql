-- A new endpoint.
INSERT INTO dispatcher.endpoint (
  id, caller_id, url, origin, events, headers, sealed_headers, schedule, ordered, rate_limit,
  version, created_at
) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)
