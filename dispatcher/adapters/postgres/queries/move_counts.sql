-- How many rows of each table have arrived.
SELECT 'caller', count(*) FROM dispatcher.caller UNION ALL
SELECT 'api_key', count(*) FROM dispatcher.api_key UNION ALL
SELECT 'secret', count(*) FROM dispatcher.secret UNION ALL
SELECT 'service_key', count(*) FROM dispatcher.service_key UNION ALL
SELECT 'job_type', count(*) FROM dispatcher.job_type UNION ALL
SELECT 'paused_queue', count(*) FROM dispatcher.paused_queue UNION ALL
SELECT 'endpoint', count(*) FROM dispatcher.endpoint UNION ALL
SELECT 'endpoint_secret', count(*) FROM dispatcher.endpoint_secret UNION ALL
SELECT 'holder', count(*) FROM dispatcher.holder UNION ALL
SELECT 'lane', count(*) FROM dispatcher.lane UNION ALL
SELECT 'destination', count(*) FROM dispatcher.destination UNION ALL
SELECT 'target', count(*) FROM dispatcher.target UNION ALL
SELECT 'job', count(*) FROM dispatcher.job UNION ALL
SELECT 'job_input', count(*) FROM dispatcher.job_input UNION ALL
SELECT 'job_result', count(*) FROM dispatcher.job_result UNION ALL
SELECT 'idempotency', count(*) FROM dispatcher.idempotency UNION ALL
SELECT 'event', count(*) FROM dispatcher.event UNION ALL
SELECT 'delivery', count(*) FROM dispatcher.delivery UNION ALL
SELECT 'attempt', count(*) FROM dispatcher.attempt UNION ALL
SELECT 'event_erased', count(*) FROM dispatcher.event_erased UNION ALL
SELECT 'bulk', count(*) FROM dispatcher.bulk UNION ALL
SELECT 'erased', count(*) FROM dispatcher.erased UNION ALL
SELECT 'audit', count(*) FROM dispatcher.audit
