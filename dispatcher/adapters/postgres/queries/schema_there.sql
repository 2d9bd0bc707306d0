-- Whether this database has our schema.
SELECT to_regclass('dispatcher.migration') IS NOT NULL
