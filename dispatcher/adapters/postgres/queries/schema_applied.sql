-- The migrations that were made.
SELECT number, mark, name FROM dispatcher.migration
