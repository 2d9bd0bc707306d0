-- Whether an endpoint is there: not deleted.
SELECT 1 FROM endpoint WHERE id = ? AND deleted_at IS NULL
