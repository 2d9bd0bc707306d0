-- How many jobs of each queue run, by who holds them. It ends at so many rows.
SELECT queue, count(*)
FROM (
  SELECT job.queue FROM holder CROSS JOIN job ON job.holder_id = holder.id LIMIT :most
)
GROUP BY queue
