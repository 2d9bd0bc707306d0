-- Erase an endpoint that was deleted, with its secrets (a foreign key).
DELETE FROM endpoint WHERE id = ? AND deleted_at IS NOT NULL
