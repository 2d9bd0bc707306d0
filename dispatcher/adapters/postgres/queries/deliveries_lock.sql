-- Deliveries with what changes are compared with, locked in one order; and since when nothing but
-- failures came of the registered endpoint that each goes to (0: it works; NULL: it goes to none, or
-- the endpoint has another URL by now).
SELECT
  delivery.*,
  (
    SELECT coalesce(endpoint.failing_since, 0) FROM dispatcher.endpoint
    WHERE endpoint.id = delivery.endpoint_id AND endpoint.url = delivery.url
      AND endpoint.deleted_at IS NULL
  ) AS failing
FROM dispatcher.delivery
WHERE id = ANY ($1::text[])
ORDER BY seq
FOR NO KEY UPDATE OF delivery
