-- The last number that each table has given out.
SELECT name, max(number) FROM (
  SELECT name, seq AS number FROM sqlite_sequence
  UNION ALL
  SELECT 'caller', (SELECT max(seq) FROM caller)
  UNION ALL
  SELECT 'delivery', (SELECT max(seq) FROM delivery)
)
WHERE number > 0
GROUP BY name
