-- The job that was last ended or put back under a lease of a remote worker.
SELECT job.* FROM dispatcher.job WHERE last_lease = $1
