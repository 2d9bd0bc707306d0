-- How many breakers stand in each state. Each count ends at so many rows.
SELECT breaker_state, count(*) FROM (
  SELECT * FROM (
    SELECT breaker_state FROM destination WHERE breaker_state IS NOT NULL LIMIT :most
  )
  UNION ALL
  SELECT * FROM (SELECT breaker_state FROM target WHERE breaker_state IS NOT NULL LIMIT :most)
)
GROUP BY breaker_state
