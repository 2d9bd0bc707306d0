-- A queue ('': all) is not paused any more.
DELETE FROM paused_queue WHERE queue = ?
