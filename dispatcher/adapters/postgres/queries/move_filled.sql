-- The tables that hold something.
SELECT 'caller' WHERE EXISTS (SELECT 1 FROM dispatcher.caller) UNION ALL
SELECT 'api_key' WHERE EXISTS (SELECT 1 FROM dispatcher.api_key) UNION ALL
SELECT 'secret' WHERE EXISTS (SELECT 1 FROM dispatcher.secret) UNION ALL
SELECT 'service_key' WHERE EXISTS (SELECT 1 FROM dispatcher.service_key) UNION ALL
SELECT 'job_type' WHERE EXISTS (SELECT 1 FROM dispatcher.job_type) UNION ALL
SELECT 'paused_queue' WHERE EXISTS (SELECT 1 FROM dispatcher.paused_queue) UNION ALL
SELECT 'endpoint' WHERE EXISTS (SELECT 1 FROM dispatcher.endpoint) UNION ALL
SELECT 'endpoint_secret' WHERE EXISTS (SELECT 1 FROM dispatcher.endpoint_secret) UNION ALL
SELECT 'holder' WHERE EXISTS (SELECT 1 FROM dispatcher.holder) UNION ALL
SELECT 'lane' WHERE EXISTS (SELECT 1 FROM dispatcher.lane) UNION ALL
SELECT 'destination' WHERE EXISTS (SELECT 1 FROM dispatcher.destination) UNION ALL
SELECT 'target' WHERE EXISTS (SELECT 1 FROM dispatcher.target) UNION ALL
SELECT 'job' WHERE EXISTS (SELECT 1 FROM dispatcher.job) UNION ALL
SELECT 'job_input' WHERE EXISTS (SELECT 1 FROM dispatcher.job_input) UNION ALL
SELECT 'job_result' WHERE EXISTS (SELECT 1 FROM dispatcher.job_result) UNION ALL
SELECT 'idempotency' WHERE EXISTS (SELECT 1 FROM dispatcher.idempotency) UNION ALL
SELECT 'event' WHERE EXISTS (SELECT 1 FROM dispatcher.event) UNION ALL
SELECT 'delivery' WHERE EXISTS (SELECT 1 FROM dispatcher.delivery) UNION ALL
SELECT 'attempt' WHERE EXISTS (SELECT 1 FROM dispatcher.attempt) UNION ALL
SELECT 'event_erased' WHERE EXISTS (SELECT 1 FROM dispatcher.event_erased) UNION ALL
SELECT 'bulk' WHERE EXISTS (SELECT 1 FROM dispatcher.bulk) UNION ALL
SELECT 'erased' WHERE EXISTS (SELECT 1 FROM dispatcher.erased) UNION ALL
SELECT 'audit' WHERE EXISTS (SELECT 1 FROM dispatcher.audit) UNION ALL
SELECT 'ordering_key' WHERE EXISTS (SELECT 1 FROM dispatcher.ordering_key)
