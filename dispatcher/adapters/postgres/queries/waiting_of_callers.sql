-- How much of callers waits: jobs, and the bytes of their inputs.
SELECT caller_id, sum(waiting)::bigint, sum(waiting_bytes)::bigint FROM dispatcher.lane
WHERE caller_id = ANY ($1::text[])
GROUP BY caller_id
