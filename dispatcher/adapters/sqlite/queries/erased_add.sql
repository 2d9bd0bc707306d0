-- Remember that a job and its deliveries were there.
INSERT OR REPLACE INTO erased (id, caller_id, erased_at)
SELECT id, caller_id, :now FROM job WHERE seq = :seq
UNION ALL
SELECT id, caller_id, :now FROM delivery WHERE job_seq = :seq
