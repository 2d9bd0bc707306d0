-- How a transaction stands: in progress, committed, aborted.
SELECT pg_xact_status($1::xid8)
