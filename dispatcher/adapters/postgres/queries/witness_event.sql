-- Whether an event is there.
SELECT 1 FROM dispatcher.event WHERE id = $1
