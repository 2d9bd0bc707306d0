-- A holder's beat: its lease now ends later. It is made if it is new.
INSERT INTO holder (id, name, expires_at) VALUES (:id, :name, :expires_at)
ON CONFLICT (id) DO UPDATE SET expires_at = excluded.expires_at
