-- Where deliveries go.
SELECT seq, url FROM dispatcher.delivery WHERE seq = ANY ($1::bigint[])
