-- Let the service's keys end at an instant, unless they end sooner.
UPDATE service_key SET retired_at = min(coalesce(retired_at, :until), :until)
