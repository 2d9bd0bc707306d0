-- The deliveries of a job that have not ended.
SELECT id, state FROM delivery
WHERE job_seq = ? AND (state = 'pending' OR state = 'sending')
