-- Mark an endpoint as deleted: what is open of it is ended a bounded number at a time.
UPDATE dispatcher.endpoint SET deleted_at = $2 WHERE id = $1 AND deleted_at IS NULL RETURNING 1
