-- Note that a delivery, which is locked, is not to be tried again after the attempt under way.
-- It is looked for by its number: see `deliveries_lease`.
UPDATE dispatcher.delivery SET cancel_requested_at = $2 WHERE seq = $1 AND state || '' = 'sending'
