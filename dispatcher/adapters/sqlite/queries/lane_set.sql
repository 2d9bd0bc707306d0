-- When the next of a lane can be claimed; NULL: none waits.
UPDATE lane SET ready_at = ? WHERE seq = ?
