-- Commit. A statement that ends in time must not end the wait for a standby: the server would
-- answer that all is well, though the standby has nothing yet.
SET LOCAL statement_timeout = 0;
COMMIT
