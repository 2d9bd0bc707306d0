-- Whether there is a caller with that id.
SELECT 1 FROM caller WHERE id = ?
