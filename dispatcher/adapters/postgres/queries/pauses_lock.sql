-- One at a time changes what is paused; whoever asks goes on reading.
LOCK TABLE dispatcher.paused_queue IN SHARE ROW EXCLUSIVE MODE
