-- The lanes of one caller and queue, of every type.
SELECT seq, type, ready_at, paused_at FROM lane WHERE caller_id = ? AND queue = ?
