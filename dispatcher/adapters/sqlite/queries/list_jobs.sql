-- Jobs of every caller, newest first.
SELECT job.* FROM job WHERE seq < :before ORDER BY seq DESC LIMIT :look
