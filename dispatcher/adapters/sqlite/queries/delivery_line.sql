-- Let a delivery wait in another line.
UPDATE delivery SET target_seq = :line WHERE seq = :seq
