-- When the next of a destination can be claimed; NULL: nothing waits.
UPDATE destination SET ready_at = ?, full_slots = ? WHERE seq = ?
