-- A stretch of failures begins.
UPDATE endpoint SET failing_since = :now WHERE id = :id AND failing_since IS NULL
