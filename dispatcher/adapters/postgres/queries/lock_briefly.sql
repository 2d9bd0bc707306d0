-- Of a transaction that began: somebody holds something that it may want, so it waits for no lock
-- for long. What other services hold for a batch's time is not meant.
SET LOCAL lock_timeout = '200ms'
