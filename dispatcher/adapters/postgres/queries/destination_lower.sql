-- Something of a destination can be claimed from an earlier instant on.
UPDATE dispatcher.destination SET ready_at = $2
WHERE seq = $1 AND (ready_at IS NULL OR ready_at > $2)
