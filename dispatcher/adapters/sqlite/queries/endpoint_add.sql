-- A new endpoint.
INSERT INTO endpoint (
  id, caller_id, url, origin, events, headers, sealed_headers, schedule, ordered, rate_limit,
  created_at, version
) VALUES (
  :id, :caller_id, :url, :origin, :events, :headers, :sealed_headers, :schedule, :ordered,
  :rate_limit, :created_at, :version
)
