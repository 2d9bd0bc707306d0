-- Forget holders whose lease has ended and that hold nothing any more; processes a while later, when
-- nobody can be about to write that they hold something. One that somebody has locked stays.
DELETE FROM dispatcher.holder WHERE ctid = ANY (ARRAY (
  SELECT ctid FROM dispatcher.holder
  WHERE expires_at <= $1::bigint
    AND (lease_ms IS NOT NULL OR expires_at <= $1::bigint - $2::bigint)
    AND (SELECT job.seq FROM dispatcher.job WHERE job.holder_id = holder.id LIMIT 1) IS NULL
  FOR UPDATE SKIP LOCKED
))
