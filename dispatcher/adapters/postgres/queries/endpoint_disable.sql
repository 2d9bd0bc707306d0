-- Disable an endpoint that is locked, and enabled.
UPDATE dispatcher.endpoint SET disabled_at = $2, disabled_reason = $3, version = version + 1
WHERE id = $1
