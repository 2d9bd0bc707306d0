-- How many signing secrets of a caller would be in force if they ended at an instant at the latest.
SELECT count(*) FROM secret
WHERE caller_id = :caller_id AND min(coalesce(expires_at, :until), :until) > :now
