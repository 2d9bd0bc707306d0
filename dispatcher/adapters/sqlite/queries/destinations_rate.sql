-- Give an endpoint's destinations another rate (NULL: the setting's). It holds from now on: what the
-- former one said of the next is forgotten, and a claim looks.
UPDATE destination SET
  rate_per_second = :rate,
  rate_us = NULL,
  ready_at = CASE WHEN ready_at IS NOT NULL THEN min(ready_at, :now) END
WHERE endpoint_id = :endpoint_id AND endpoint_id <> '' AND rate_per_second IS NOT :rate
