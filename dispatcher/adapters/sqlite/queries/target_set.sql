-- When the next of a target's line can be claimed; NULL: nothing waits there.
UPDATE target SET ready_at = :at WHERE seq = :target AND ready_at IS NOT :at
