-- How far a selection of a caller's jobs looks: the last number, and how many there are.
SELECT max(seq), count(*) FROM (
  SELECT seq FROM job
  WHERE caller_id = :caller_id AND seq > :after AND seq < :before
  ORDER BY seq
  LIMIT :look
)
