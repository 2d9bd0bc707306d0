-- Whether one of a chain, besides this one, is under way: pending and not behind another, or sending.
SELECT 1 FROM dispatcher.delivery
WHERE chain = $1 AND seq <> $2 AND NOT blocked AND (state = 'pending' OR state = 'sending')
LIMIT 1
