-- When something can be sent next; and the number of the transaction, if it has written.
SELECT min(ready_at), pg_current_xact_id_if_assigned() FROM dispatcher.destination
WHERE ready_at IS NOT NULL
