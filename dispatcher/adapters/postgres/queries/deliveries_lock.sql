-- Deliveries with what changes are compared with, locked in one order.
SELECT delivery.* FROM dispatcher.delivery
WHERE id = ANY ($1::text[])
ORDER BY seq
FOR NO KEY UPDATE
