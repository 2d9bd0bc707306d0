-- How many of the service's keys would be in force if they ended at an instant at the latest.
SELECT count(*) FROM service_key
WHERE min(coalesce(retired_at, :until), :until) > :now
