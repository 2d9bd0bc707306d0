-- Forget holders whose lease has ended and that hold nothing any more.
DELETE FROM dispatcher.holder
WHERE expires_at <= $1
  AND NOT EXISTS (SELECT 1 FROM dispatcher.job WHERE job.holder_id = holder.id)
