-- Let the service's keys end at an instant, unless they end sooner.
UPDATE dispatcher.service_key SET retired_at = least(retired_at, $1::bigint)
