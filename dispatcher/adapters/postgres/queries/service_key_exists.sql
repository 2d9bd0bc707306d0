-- Whether that key of the service is there.
SELECT 1 FROM dispatcher.service_key WHERE id = $1
