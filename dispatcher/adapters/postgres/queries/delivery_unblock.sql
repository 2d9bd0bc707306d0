-- A delivery is the first of its chain now; it waits in the line that its URL has now.
-- It is looked for by its number: see `deliveries_lease`.
UPDATE dispatcher.delivery SET blocked = FALSE, target_seq = $2 WHERE seq = $1 AND blocked::integer = 1
