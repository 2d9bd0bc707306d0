-- Lock an endpoint to change it, unless it was deleted.
SELECT 1 FROM dispatcher.endpoint WHERE id = $1 AND deleted_at IS NULL FOR NO KEY UPDATE
