-- What holders whose lease has ended still hold and may be tried again: to be taken back. One that
-- was asked to cancel is left to the sweep, which ends it: it is not to run again. A holder that is
-- just beating is left out: its beat decides. Each ended holder is asked for what it holds: not each
-- job for its holder, however few jobs the planner believes there are.
SELECT job.seq, job.caller_id, job.queue, job.type, length(job_input.body)
FROM dispatcher.holder
JOIN dispatcher.job ON job.holder_id = holder.id
JOIN dispatcher.job_input ON job_input.job_seq = job.seq
WHERE holder.expires_at <= $1
  AND job.attempt_count < job.max_attempts
  AND job.cancel_requested_at IS NULL
ORDER BY job.holder_id, job.seq
LIMIT $2
FOR NO KEY UPDATE OF job, holder SKIP LOCKED
