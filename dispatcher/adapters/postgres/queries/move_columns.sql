-- The columns that are boolean here and numbers on SQLite.
SELECT table_name, column_name FROM information_schema.columns
WHERE table_schema = 'dispatcher' AND data_type = 'boolean'
