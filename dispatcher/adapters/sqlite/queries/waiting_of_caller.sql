-- How much of a caller waits: jobs, and the bytes of their inputs.
SELECT coalesce(sum(waiting), 0), coalesce(sum(waiting_bytes), 0) FROM lane WHERE caller_id = ?
