-- Have every line looked at that something waits in.
UPDATE target SET ready_at = :now WHERE ready_at > :now
