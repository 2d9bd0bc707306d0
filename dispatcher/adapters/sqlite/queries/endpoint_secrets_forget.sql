-- Erase the secrets of an endpoint that have ended.
DELETE FROM endpoint_secret WHERE endpoint_id = :endpoint_id AND expires_at <= :now
