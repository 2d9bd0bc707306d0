-- The holders whose lease has ended. The table has a row a process: it is read whole.
SELECT id FROM holder WHERE expires_at <= ?
