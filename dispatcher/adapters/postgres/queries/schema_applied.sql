-- The migrations that were made.
SELECT number, mark FROM dispatcher.migration
