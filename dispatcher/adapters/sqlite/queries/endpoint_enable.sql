-- Enable an endpoint that is disabled; its stretch of failures ends.
UPDATE endpoint SET
  disabled_at = NULL, disabled_reason = NULL, failing_since = NULL, version = version + 1
WHERE id = :id AND disabled_at IS NOT NULL AND deleted_at IS NULL
RETURNING *, (SELECT terms FROM caller WHERE caller.id = endpoint.caller_id)
