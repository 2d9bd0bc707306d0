-- The service's own keys in force, newest first.
SELECT id, public, created_at, retired_at, sealed FROM service_key
WHERE retired_at IS NULL OR retired_at > ?
ORDER BY seq DESC
