-- A new key of the service; nothing if one without an end is there.
INSERT INTO service_key (id, public, sealed, created_at, retired_at)
VALUES (:id, :public, :sealed, :created_at, NULL)
ON CONFLICT DO NOTHING
