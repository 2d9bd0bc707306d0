-- What is kept under a name.
SELECT value FROM dispatcher.meta WHERE name = $1
