-- Erase the service's keys that have ended.
DELETE FROM service_key WHERE retired_at <= ?
