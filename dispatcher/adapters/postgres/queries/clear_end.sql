-- End deliveries, which are locked, of endpoints that were deleted: what waits is canceled, what is
-- being sent is not tried again; what nobody sends any more (its lease has ended) the sweep will find.
UPDATE dispatcher.delivery SET
  state = CASE WHEN state = 'pending' THEN 'canceled' ELSE state END,
  finished_at = CASE WHEN state = 'pending' THEN $2::bigint END,
  blocked = FALSE,
  cancel_requested_at = CASE
    WHEN state = 'pending' THEN cancel_requested_at ELSE coalesce(cancel_requested_at, $2::bigint)
  END
WHERE seq = ANY ($1::bigint[]) AND state IN ('pending', 'sending')
RETURNING state
