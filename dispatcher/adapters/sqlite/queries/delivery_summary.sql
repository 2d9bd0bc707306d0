-- The delivery of a job's last event to its callback URL.
SELECT seq, state, attempt_count, first_status_code, due_at FROM delivery
WHERE job_seq = ? AND endpoint_id IS NULL
ORDER BY seq DESC
LIMIT 1
