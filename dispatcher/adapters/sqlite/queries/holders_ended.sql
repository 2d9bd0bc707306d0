-- The holders whose lease has ended, the first to end first.
SELECT id FROM holder WHERE expires_at <= :now ORDER BY expires_at LIMIT :limit
