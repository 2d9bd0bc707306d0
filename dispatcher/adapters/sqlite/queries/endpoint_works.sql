-- An attempt has succeeded: the stretch of failures ends, if there is one and it was to its URL.
UPDATE endpoint SET failing_since = NULL
WHERE id = :id AND failing_since IS NOT NULL
  AND url = (SELECT url FROM delivery WHERE delivery.id = :delivery_id)
