-- A caller's events after a number, oldest first.
SELECT event.* FROM event WHERE caller_id = :caller_id AND seq > :after ORDER BY seq LIMIT :look
