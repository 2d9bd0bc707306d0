-- Forget holders whose lease has ended and that hold nothing any more.
DELETE FROM holder
WHERE expires_at <= ?
  AND NOT EXISTS (SELECT 1 FROM job WHERE job.holder_id = holder.id)
