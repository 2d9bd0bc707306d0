-- The service's own keys in force, newest first.
SELECT id, public, created_at, retired_at, sealed FROM dispatcher.service_key
WHERE retired_at IS NULL OR retired_at > $1
ORDER BY seq DESC
