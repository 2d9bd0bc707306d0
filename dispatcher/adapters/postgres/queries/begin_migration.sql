-- Begin to make the schema, or to change it. It may take long, but waits for no lock for long.
BEGIN ISOLATION LEVEL READ COMMITTED;
SET LOCAL statement_timeout = 0;
SET LOCAL lock_timeout = '10s'
