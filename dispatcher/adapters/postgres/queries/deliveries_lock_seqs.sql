-- Lock deliveries by their numbers, in one order.
SELECT seq FROM dispatcher.delivery WHERE seq = ANY ($1::bigint[]) ORDER BY seq FOR NO KEY UPDATE
