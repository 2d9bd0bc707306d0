-- How many jobs of types, and of queues, run, whoever holds them.
SELECT 'type', type, count(*) FROM dispatcher.job
WHERE holder_id IS NOT NULL AND type = ANY ($1::text[])
GROUP BY type
UNION ALL
SELECT 'queue', queue, count(*) FROM dispatcher.job
WHERE holder_id IS NOT NULL AND queue = ANY ($2::text[])
GROUP BY queue
