-- What is kept under a name.
SELECT value FROM meta WHERE name = ?
