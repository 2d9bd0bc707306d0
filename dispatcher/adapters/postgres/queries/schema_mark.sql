-- A migration was made.
INSERT INTO dispatcher.migration (number, name, mark) VALUES ($1, $2, $3)
