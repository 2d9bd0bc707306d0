-- Whose keys jobs are ordered by, and which of them have begun: those are the fronts of theirs.
SELECT seq, caller_id, ordering_key, started_at IS NOT NULL FROM dispatcher.job
WHERE seq = ANY ($1::bigint[])
