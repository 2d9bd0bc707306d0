-- Begin to write. The limits are the transaction's own, so that a pooler may stand between; they end
-- what hangs on the server's side: a statement, a wait for a lock, a client that was cut off.
BEGIN ISOLATION LEVEL READ COMMITTED;
SET LOCAL statement_timeout = '8s';
SET LOCAL lock_timeout = '4s';
SET LOCAL idle_in_transaction_session_timeout = '15s';
SET LOCAL jit = off;
SET LOCAL plan_cache_mode = force_generic_plan
