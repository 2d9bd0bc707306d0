-- Hold a destination: nothing of it is claimed until it is released.
UPDATE destination SET held_at = coalesce(held_at, :now) WHERE seq = :seq
