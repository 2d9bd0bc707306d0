-- The lane of a job that may be claimed now is ready.
UPDATE lane SET ready_at = :now
WHERE seq = (SELECT lane_seq FROM job WHERE seq = :seq) AND (ready_at IS NULL OR ready_at > :now)
