-- Erase endpoints that were deleted and of which nothing is open, with their destinations, which are
-- locked, and their secrets (a foreign key).
WITH done AS (
  SELECT endpoint.id FROM dispatcher.endpoint
  WHERE endpoint.id = ANY ($1::text[]) AND endpoint.deleted_at IS NOT NULL
    AND NOT EXISTS (
      SELECT 1 FROM dispatcher.destination
      WHERE destination.endpoint_id = endpoint.id AND destination.endpoint_id <> ''
        AND coalesce(
          (
            SELECT seq FROM dispatcher.delivery
            WHERE destination_seq = destination.seq AND state = 'pending' AND NOT blocked
            LIMIT 1
          ),
          (
            SELECT seq FROM dispatcher.delivery
            WHERE destination_seq = destination.seq AND blocked
            LIMIT 1
          ),
          (
            SELECT seq FROM dispatcher.delivery
            WHERE destination_seq = destination.seq AND state = 'sending'
            LIMIT 1
          )
        ) IS NOT NULL
    )
), places AS (
  DELETE FROM dispatcher.destination USING done
  WHERE destination.endpoint_id = done.id AND destination.endpoint_id <> ''
)
DELETE FROM dispatcher.endpoint USING done WHERE endpoint.id = done.id
