-- Everyone's events after a number, oldest first.
SELECT event.* FROM event WHERE seq > :after ORDER BY seq LIMIT :look
