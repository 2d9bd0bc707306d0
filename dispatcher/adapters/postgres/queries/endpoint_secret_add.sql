-- A new signing secret of an endpoint, sealed.
INSERT INTO dispatcher.endpoint_secret (endpoint_id, sealed, created_at) VALUES ($1, $2, $3)
