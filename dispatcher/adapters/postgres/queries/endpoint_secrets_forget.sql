-- Erase the secrets of an endpoint that have ended.
DELETE FROM dispatcher.endpoint_secret WHERE endpoint_id = $1 AND expires_at <= $2
