-- Remember that the deliveries of an event of no job were there.
INSERT OR REPLACE INTO erased (id, caller_id, erased_at)
SELECT id, caller_id, :now FROM delivery WHERE event_seq = :seq AND job_seq IS NULL
