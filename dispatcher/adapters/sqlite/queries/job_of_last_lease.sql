-- The job that was last ended or put back under a lease of a remote worker.
SELECT job.* FROM job WHERE last_lease = ?
