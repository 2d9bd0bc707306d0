-- Begin to make the schema, or to change it. It may take long, but waits for no lock for long: all
-- that comes later waits behind it.
BEGIN ISOLATION LEVEL READ COMMITTED;
SET LOCAL statement_timeout = 0;
SET LOCAL lock_timeout = '1s'
