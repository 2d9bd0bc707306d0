-- How far events were erased; places as of events.
SELECT caller_id, 0 AS xid, seq FROM event_erased
WHERE caller_id > coalesce(:after, '')
ORDER BY caller_id
