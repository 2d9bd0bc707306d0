-- A lane by what it is for.
SELECT seq, ready_at FROM lane WHERE caller_id = ? AND queue = ? AND type = ?
