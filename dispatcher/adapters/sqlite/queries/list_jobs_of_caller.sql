-- Jobs of a caller, newest first.
SELECT job.* FROM job WHERE caller_id = :caller_id AND seq < :before ORDER BY seq DESC LIMIT :look
