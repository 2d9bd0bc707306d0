-- The inputs of some jobs, in the order received, until they are so large together.
SELECT sized.job_seq, job_input.body
FROM (
  SELECT
    job_seq,
    sum(length(body)) OVER (ORDER BY job_seq) - length(body) AS before
  FROM dispatcher.job_input
  WHERE job_seq = ANY ($1::bigint[])
) AS sized
JOIN dispatcher.job_input ON job_input.job_seq = sized.job_seq
WHERE sized.before < $2::bigint
ORDER BY sized.job_seq
