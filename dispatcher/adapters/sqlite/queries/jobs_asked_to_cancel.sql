-- The jobs of a holder that were asked to cancel.
SELECT id FROM job WHERE holder_id = ? AND cancel_requested_at IS NOT NULL
