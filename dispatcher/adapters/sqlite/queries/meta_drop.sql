-- Keep nothing under a name any more.
DELETE FROM meta WHERE name = :name
