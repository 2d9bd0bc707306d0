-- Something of a target's line can be claimed from an earlier instant on.
UPDATE target SET ready_at = :at WHERE seq = :target AND (ready_at IS NULL OR ready_at > :at)
