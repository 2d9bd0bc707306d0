-- Commit, and begin the transaction of the batch that waits already: as `commit` and `begin`.
SET LOCAL statement_timeout = 0;
COMMIT AND CHAIN
