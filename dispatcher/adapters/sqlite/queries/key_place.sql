-- Move a job in the order of its key.
UPDATE job SET key_place = :place WHERE seq = :seq
