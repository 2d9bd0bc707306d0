-- On the connection for hints alone: a hint that is lost does no harm, so none waits for the disk.
SET synchronous_commit = off
