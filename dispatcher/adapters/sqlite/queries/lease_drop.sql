-- Forget a remote worker's lease: its job has ended, or was put back.
DELETE FROM holder WHERE id = ? AND lease_ms IS NOT NULL
