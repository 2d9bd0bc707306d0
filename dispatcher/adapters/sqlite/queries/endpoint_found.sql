-- An endpoint by its id, unless it was deleted.
SELECT * FROM endpoint WHERE id = ? AND deleted_at IS NULL
