-- End jobs, record first attempts, then lock destinations and look how they stand: see the function
-- (`migrations/0008_settle.sql`).
SELECT * FROM dispatcher.settle(
  $1::dispatcher.job_ended[], $2::dispatcher.delivery_tried[],
  $3::text[], $4::text[], $5::text[], $6::text[], $7::bigint
)
