-- The chains that jobs' dead deliveries keep waiting, and where they go.
SELECT DISTINCT chain, caller_id, origin, coalesce(endpoint_id, '') FROM dispatcher.delivery
WHERE job_seq = ANY ($1::bigint[]) AND state = 'dead' AND on_dead = 'block'
