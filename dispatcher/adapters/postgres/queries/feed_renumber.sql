-- Give all events, and what is known of erased ones, places before any transaction of this server, in
-- the order in which they were written.
UPDATE dispatcher.event SET xid = '0';
UPDATE dispatcher.event_erased SET xid = '0'
