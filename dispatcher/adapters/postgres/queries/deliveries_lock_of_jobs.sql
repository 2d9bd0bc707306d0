-- Lock what is there of jobs' earlier events together with the deliveries that are named, in one
-- order.
SELECT seq FROM dispatcher.delivery
WHERE seq = ANY (ARRAY (
  SELECT seq FROM dispatcher.delivery WHERE job_seq = ANY ($1::bigint[])
  UNION
  SELECT seq FROM dispatcher.delivery WHERE id = ANY ($2::text[])
))
ORDER BY seq
FOR NO KEY UPDATE
