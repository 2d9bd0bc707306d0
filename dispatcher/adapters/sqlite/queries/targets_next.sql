-- When something of a target's line of a destination can be sent next.
SELECT min(ready_at) FROM target WHERE destination_seq = ? AND ready_at IS NOT NULL
