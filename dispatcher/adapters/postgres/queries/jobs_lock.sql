-- Jobs with what changes are compared with, locked in one order, and whether their caller has
-- registered endpoints; and before them, in the order of all locks of keys, the keys of those that are
-- open and have one. (What stands in WHERE is there before the first row is locked.)
WITH keys AS MATERIALIZED (
  SELECT known.key
  FROM (
    SELECT DISTINCT caller_id, ordering_key FROM dispatcher.job
    WHERE id = ANY ($1::text[]) AND key_place BETWEEN 1 AND 3
  ) AS wanted
  JOIN dispatcher.ordering_key AS known
    ON known.caller_id = wanted.caller_id AND known.key = wanted.ordering_key
  ORDER BY known.caller_id COLLATE "C", known.key COLLATE "C"
  FOR UPDATE OF known
)
SELECT
  job.*,
  EXISTS (
    SELECT 1 FROM dispatcher.endpoint
    WHERE endpoint.caller_id = job.caller_id AND endpoint.deleted_at IS NULL
  ) AS registered
FROM dispatcher.job
WHERE id = ANY ($1::text[]) AND (SELECT count(*) FROM keys) >= 0
ORDER BY seq
FOR NO KEY UPDATE OF job
