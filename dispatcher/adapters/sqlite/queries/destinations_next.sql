-- When something can be sent next.
SELECT min(ready_at) FROM destination WHERE ready_at IS NOT NULL AND held_at IS NULL
