-- Deliveries by their numbers (a JSON array), with all that their bytes are made of.
SELECT delivery.*, event.*, job.*, job_result.body, endpoint.*,
  (SELECT terms FROM caller WHERE caller.id = endpoint.caller_id)
FROM json_each(:wanted) AS wanted
CROSS JOIN delivery ON delivery.seq = wanted.value
JOIN event ON event.seq = delivery.event_seq
LEFT JOIN job ON job.seq = delivery.job_seq
LEFT JOIN job_result ON job_result.job_seq = job.seq AND job.result_bytes <= :inline_bytes
LEFT JOIN endpoint ON endpoint.id = delivery.endpoint_id
