-- How many jobs of each queue run, by who holds them. It ends at so many rows.
SELECT queue, count(*)
FROM (
  SELECT job.queue
  FROM dispatcher.holder
  JOIN dispatcher.job ON job.holder_id = holder.id
  LIMIT $1
) AS counted
GROUP BY queue
