-- A migration was made.
INSERT INTO meta VALUES (?, ?)
