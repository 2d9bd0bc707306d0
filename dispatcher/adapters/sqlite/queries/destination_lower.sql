-- Something of a destination can be claimed from an earlier instant on.
UPDATE destination SET ready_at = :at WHERE seq = :seq AND (ready_at IS NULL OR ready_at > :at)
