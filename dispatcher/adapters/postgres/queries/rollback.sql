-- Give a transaction up.
ROLLBACK
