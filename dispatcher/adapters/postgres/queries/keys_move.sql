-- Move jobs in the order of their keys, which are locked.
UPDATE dispatcher.job SET key_place = $2::smallint WHERE seq = ANY ($1::bigint[])
