-- The deliveries of a job that have not ended, and whether they were asked to cancel.
SELECT id, state, cancel_requested_at IS NOT NULL FROM delivery
WHERE job_seq = ? AND (state = 'pending' OR state = 'sending')
