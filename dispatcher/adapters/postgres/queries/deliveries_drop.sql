-- Jobs have ended: what is pending of their earlier, best-effort events is no longer sent.
UPDATE dispatcher.delivery AS delivery SET state = 'canceled', finished_at = ended.at
FROM unnest($1::bigint[], $2::bigint[]) AS ended (job_seq, at)
WHERE delivery.job_seq = ended.job_seq AND delivery.state = 'pending'
