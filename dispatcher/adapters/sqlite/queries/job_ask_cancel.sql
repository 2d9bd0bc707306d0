-- Note that a running job is to be stopped; the first request stands.
UPDATE job SET cancel_requested_at = :at, version = version + 1
WHERE id = :id AND state = 'running' AND cancel_requested_at IS NULL
