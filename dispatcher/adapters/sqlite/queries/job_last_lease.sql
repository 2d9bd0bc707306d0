-- Keep with a job the lease of a remote worker under which it was ended or put back.
UPDATE job SET last_lease = :lease WHERE seq = :seq
