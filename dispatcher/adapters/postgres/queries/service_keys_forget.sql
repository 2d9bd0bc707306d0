-- Erase the service's keys that have ended.
DELETE FROM dispatcher.service_key WHERE retired_at <= $1
