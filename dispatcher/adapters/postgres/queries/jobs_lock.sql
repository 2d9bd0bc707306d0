-- Jobs with what changes are compared with, locked in one order; and whether their caller has
-- registered endpoints.
SELECT
  job.*,
  EXISTS (
    SELECT 1 FROM dispatcher.endpoint
    WHERE endpoint.caller_id = job.caller_id AND endpoint.deleted_at IS NULL
  ) AS registered
FROM dispatcher.job WHERE id = ANY ($1::text[]) ORDER BY seq FOR NO KEY UPDATE OF job
