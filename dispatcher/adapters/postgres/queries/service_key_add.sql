-- A new key of the service; nothing if one without an end is there.
INSERT INTO dispatcher.service_key (id, public, sealed, created_at, retired_at)
VALUES ($1, $2, $3, $4, NULL)
ON CONFLICT DO NOTHING
RETURNING 1
