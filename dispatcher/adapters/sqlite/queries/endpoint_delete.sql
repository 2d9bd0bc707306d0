-- Mark an endpoint as deleted: what is open of it is ended a bounded number at a time.
UPDATE endpoint SET deleted_at = :at WHERE id = :id AND deleted_at IS NULL
