-- How many of the service's keys would be in force if they ended at an instant at the latest.
SELECT count(*) FROM dispatcher.service_key WHERE least(retired_at, $2::bigint) > $1::bigint
