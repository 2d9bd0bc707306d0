-- Pause a queue ('': all); one that is paused stays so since it was.
INSERT INTO dispatcher.paused_queue (queue, paused_at) VALUES ($1, $2)
ON CONFLICT (queue) DO NOTHING
