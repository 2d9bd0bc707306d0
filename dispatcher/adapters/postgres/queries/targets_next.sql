-- When something of a target's line of a destination can be sent next.
SELECT min(ready_at) FROM dispatcher.target WHERE destination_seq = $1 AND ready_at IS NOT NULL
