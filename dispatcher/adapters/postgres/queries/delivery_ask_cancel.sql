-- Note that a delivery, which is locked, is not to be tried again after the attempt under way.
UPDATE dispatcher.delivery SET cancel_requested_at = $2 WHERE seq = $1 AND state = 'sending'
