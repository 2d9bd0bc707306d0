-- How much there is in a file: none in a new one, or one that a crash left unfinished.
SELECT count(*) FROM sqlite_schema
