-- Hints for the other processes, in a transaction of their own: inside those that they tell of it
-- would make commits wait for each other.
SELECT pg_notify($1, $2)
