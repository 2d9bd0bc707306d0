-- Enable an endpoint that is locked, and disabled; its stretch of failures ends.
UPDATE dispatcher.endpoint SET
  disabled_at = NULL, disabled_reason = NULL, failing_since = NULL, version = version + 1
WHERE id = $1
