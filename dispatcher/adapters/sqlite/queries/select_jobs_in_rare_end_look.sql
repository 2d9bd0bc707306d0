-- The same of jobs that ended in a way that is rare, of every caller: those of one are few among
-- few.
SELECT max(seq), count(*) FROM (
  SELECT seq FROM job
  WHERE state = :state AND state IN ('failed', 'canceled', 'expired')
    AND seq > :after AND seq < :before
  ORDER BY seq
  LIMIT :look
)
