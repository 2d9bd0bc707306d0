-- A queue ('': all) is not paused any more.
DELETE FROM dispatcher.paused_queue WHERE queue = $1
