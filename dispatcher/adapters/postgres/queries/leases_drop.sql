-- Forget remote workers' leases: their jobs, which are locked, have ended, or were put back.
DELETE FROM dispatcher.holder WHERE id = ANY ($1::text[]) AND lease_ms IS NOT NULL
