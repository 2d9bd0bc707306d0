-- A delivery is the first of its chain now; it waits in the line that its URL has now.
UPDATE delivery SET blocked = 0, target_seq = :line WHERE seq = :seq AND blocked = 1
