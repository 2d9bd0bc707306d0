-- How far a selection of a caller's deliveries looks: the last number, and how many there are.
SELECT max(seq), count(*) FROM (
  SELECT seq FROM delivery WHERE caller_id = :caller_id AND seq > :after ORDER BY seq LIMIT :look
)
