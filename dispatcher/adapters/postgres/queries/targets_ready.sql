-- The targets of a destination of whose lines something can be sent, the longest unserved first.
SELECT seq FROM dispatcher.target
WHERE destination_seq = $1 AND ready_at <= $2
ORDER BY ready_at
LIMIT $3
