-- Pause a queue ('': all); one that is paused stays so since it was.
INSERT INTO paused_queue (queue, paused_at) VALUES (:queue, :at) ON CONFLICT (queue) DO NOTHING
