-- Jobs with what changes are compared with, locked in one order.
SELECT job.* FROM dispatcher.job WHERE id = ANY ($1::text[]) ORDER BY seq FOR NO KEY UPDATE
