-- When the next of a lane is due, those that are too late left out: one seek a priority.
SELECT min((
  SELECT head.due_at FROM job AS head
  WHERE head.lane_seq = :lane_seq
    AND head.state = 'waiting'
    AND head.key_place < 3
    AND head.priority = level.column1
    AND (head.late_at IS NULL OR head.late_at > :now)
  ORDER BY head.due_at, head.seq
  LIMIT 1
))
FROM (VALUES (0), (1), (2), (3), (4), (5), (6), (7), (8), (9)) AS level
