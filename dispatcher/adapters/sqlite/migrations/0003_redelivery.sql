-- Redelivery: rounds, cancels of what is being sent, and lists of deliveries.
--
-- Whose a delivery is stands in its row, so that a caller's are listed by index.
ALTER TABLE delivery ADD COLUMN caller_id TEXT NOT NULL DEFAULT '';
ALTER TABLE delivery ADD COLUMN round INTEGER NOT NULL DEFAULT 1 CHECK (round >= 1);
-- When the present round began, if it is not the first.
ALTER TABLE delivery ADD COLUMN redelivered_at INTEGER
  CHECK (redelivered_at IS NULL OR round > 1);
-- What was asked to cancel never waits: it is being sent, or has ended.
ALTER TABLE delivery ADD COLUMN cancel_requested_at INTEGER
  CHECK (cancel_requested_at IS NULL OR state <> 'pending');

UPDATE delivery SET caller_id = (SELECT caller_id FROM job WHERE job.seq = delivery.job_seq);

CREATE INDEX delivery_of_caller ON delivery (caller_id);
-- Delivered ones are the many; these are few, and are looked for.
CREATE INDEX delivery_rare_end ON delivery (state) WHERE state = 'dead' OR state = 'canceled';
CREATE INDEX delivery_rare_end_of_caller ON delivery (caller_id, state)
  WHERE state = 'dead' OR state = 'canceled';

DROP INDEX delivery_age;
CREATE INDEX delivery_age ON delivery (coalesce(redelivered_at, created_at))
  WHERE state = 'pending';
DROP INDEX delivery_lost;
CREATE INDEX delivery_lost ON delivery (lease_until)
  WHERE state = 'sending' AND (unknown_count >= 3 OR cancel_requested_at IS NOT NULL);
DROP INDEX delivery_sending;
-- `state` is in it so that slots are counted without looking at the rows, and
-- `cancel_requested_at` so that the next to be claimed is found so.
CREATE INDEX delivery_sending
  ON delivery (destination_seq, lease_until, unknown_count, cancel_requested_at, state)
  WHERE state = 'sending';
