-- One at a time changes the service's own keys.
LOCK TABLE dispatcher.service_key IN SHARE ROW EXCLUSIVE MODE
