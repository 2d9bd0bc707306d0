-- Some jobs, by their numbers.
SELECT job.* FROM dispatcher.job WHERE seq = ANY ($1::bigint[])
