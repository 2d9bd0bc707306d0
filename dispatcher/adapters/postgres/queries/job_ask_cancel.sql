-- Note that a running job, which is locked, is to be stopped.
UPDATE dispatcher.job SET cancel_requested_at = $2, version = version + 1 WHERE seq = $1
