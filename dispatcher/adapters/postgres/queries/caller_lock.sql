-- Whether there is a caller with that id; locked, so that what it owns is counted by one at a time.
SELECT 1 FROM dispatcher.caller WHERE id = $1 FOR NO KEY UPDATE
