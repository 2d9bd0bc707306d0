-- Give an endpoint's destinations, which are locked, another rate (NULL: the setting's). It holds
-- from now on: what the former one said of the next is forgotten, and a claim looks.
UPDATE dispatcher.destination SET
  rate_per_second = $2,
  rate_us = NULL,
  ready_at = CASE WHEN ready_at IS NOT NULL THEN least(ready_at, $3::bigint) END
WHERE endpoint_id = $1 AND endpoint_id <> '' AND rate_per_second IS DISTINCT FROM $2
