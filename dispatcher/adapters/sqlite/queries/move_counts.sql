-- How many rows of each table there are to move.
SELECT 'caller', count(*) FROM caller UNION ALL
SELECT 'api_key', count(*) FROM api_key UNION ALL
SELECT 'secret', count(*) FROM secret UNION ALL
SELECT 'service_key', count(*) FROM service_key UNION ALL
SELECT 'job_type', count(*) FROM job_type UNION ALL
SELECT 'paused_queue', count(*) FROM paused_queue UNION ALL
SELECT 'endpoint', count(*) FROM endpoint UNION ALL
SELECT 'endpoint_secret', count(*) FROM endpoint_secret UNION ALL
SELECT 'holder', count(*) FROM holder UNION ALL
SELECT 'lane', count(*) FROM lane UNION ALL
SELECT 'destination', count(*) FROM destination UNION ALL
SELECT 'target', count(*) FROM target UNION ALL
SELECT 'job', count(*) FROM job UNION ALL
SELECT 'job_input', count(*) FROM job_input UNION ALL
SELECT 'job_result', count(*) FROM job_result UNION ALL
SELECT 'idempotency', count(*) FROM idempotency UNION ALL
SELECT 'event', count(*) FROM event UNION ALL
SELECT 'delivery', count(*) FROM delivery UNION ALL
SELECT 'attempt', count(*) FROM attempt UNION ALL
SELECT 'event_erased', count(*) FROM event_erased UNION ALL
SELECT 'bulk', count(*) FROM bulk UNION ALL
SELECT 'erased', count(*) FROM erased UNION ALL
SELECT 'audit', count(*) FROM audit
