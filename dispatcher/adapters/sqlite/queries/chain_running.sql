-- Whether one of a chain, besides this one, is under way: pending and not behind another, or sending.
SELECT 1 FROM delivery
WHERE chain = :chain AND seq <> :besides AND blocked = 0
  AND (state = 'pending' OR state = 'sending')
LIMIT 1
