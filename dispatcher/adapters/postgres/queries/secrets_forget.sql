-- Erase the signing secrets of a caller that have ended.
DELETE FROM dispatcher.secret WHERE caller_id = $1 AND expires_at <= $2
