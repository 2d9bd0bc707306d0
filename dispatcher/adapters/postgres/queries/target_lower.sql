-- Something of a target's line can be claimed from an earlier instant on.
UPDATE dispatcher.target SET ready_at = $2 WHERE seq = $1 AND (ready_at IS NULL OR ready_at > $2)
