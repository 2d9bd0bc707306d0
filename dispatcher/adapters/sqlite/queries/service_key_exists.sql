-- Whether that key of the service is there.
SELECT 1 FROM service_key WHERE id = ?
