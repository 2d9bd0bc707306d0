-- The running jobs of a holder, and which of them were asked to cancel.
SELECT id, lease, cancel_requested_at IS NOT NULL FROM dispatcher.job WHERE holder_id = $1
