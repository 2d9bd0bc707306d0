-- Which holders' leases have not ended; and the queues that are paused ('': all).
SELECT id, NULL AS queue FROM dispatcher.holder
WHERE id = ANY ($1::text[]) AND expires_at > $2::bigint
UNION ALL
SELECT NULL, queue FROM dispatcher.paused_queue
