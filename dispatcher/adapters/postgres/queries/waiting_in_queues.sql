-- How many jobs wait in queues, of all callers.
SELECT queue, sum(waiting)::bigint FROM dispatcher.lane
WHERE queue = ANY ($1::text[])
GROUP BY queue
