-- A destination as it is named outside.
SELECT id, caller_id, origin, endpoint_id FROM dispatcher.destination WHERE seq = $1
