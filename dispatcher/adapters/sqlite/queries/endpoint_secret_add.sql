-- A new signing secret of an endpoint, sealed.
INSERT INTO endpoint_secret (endpoint_id, sealed, created_at)
VALUES (:endpoint_id, :sealed, :created_at)
