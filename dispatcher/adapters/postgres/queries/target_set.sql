-- When the next of a target's line can be claimed; NULL: nothing waits there.
UPDATE dispatcher.target SET ready_at = $2 WHERE seq = $1 AND ready_at IS DISTINCT FROM $2
