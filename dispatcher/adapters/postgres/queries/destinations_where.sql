-- What destinations are for, by their ids.
SELECT caller_id, origin, endpoint_id FROM dispatcher.destination WHERE id = ANY ($1::text[])
