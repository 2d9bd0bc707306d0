-- Something of the lines of targets can be claimed from an earlier instant on.
UPDATE dispatcher.target AS target
SET ready_at = wanted.ready_at
FROM unnest($1::bigint[], $2::bigint[]) AS wanted (seq, ready_at)
WHERE target.seq = wanted.seq AND (target.ready_at IS NULL OR target.ready_at > wanted.ready_at)
