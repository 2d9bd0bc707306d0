-- The targets of a destination of whose lines something can be sent, the longest unserved first.
SELECT seq FROM target
WHERE destination_seq = :seq AND ready_at <= :now
ORDER BY ready_at
LIMIT :limit
