-- Begin to read: one state of the store, whatever is committed meanwhile.
BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY;
SET LOCAL statement_timeout = '8s';
SET LOCAL idle_in_transaction_session_timeout = '15s';
SET LOCAL jit = off;
SET LOCAL plan_cache_mode = force_generic_plan
