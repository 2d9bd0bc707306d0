-- How many breakers stand in each state. Each count ends at so many rows.
SELECT breaker_state, count(*)
FROM (
  (
    SELECT breaker_state FROM dispatcher.destination WHERE breaker_state IS NOT NULL LIMIT $1
  )
  UNION ALL
  (SELECT breaker_state FROM dispatcher.target WHERE breaker_state IS NOT NULL LIMIT $1)
) AS known
GROUP BY breaker_state
