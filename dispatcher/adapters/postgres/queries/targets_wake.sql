-- Have every line looked at that something waits in.
UPDATE dispatcher.target SET ready_at = $1 WHERE ready_at > $1
