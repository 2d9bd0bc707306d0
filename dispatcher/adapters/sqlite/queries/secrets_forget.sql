-- Erase the signing secrets of a caller that have ended.
DELETE FROM secret WHERE caller_id = :caller_id AND expires_at <= :now
