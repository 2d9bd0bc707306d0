-- Keep something under a name unless it is taken.
INSERT INTO dispatcher.meta (name, value) VALUES ($1, $2) ON CONFLICT (name) DO NOTHING
