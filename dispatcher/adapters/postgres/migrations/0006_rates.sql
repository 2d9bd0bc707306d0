-- How often callers may submit, over all processes: a bucket for each whose submissions have a
-- rate. `full_at` is when it is full again, in milliseconds times `requests`, exact.
-- Not logged: nothing waits for the disk, and after a crash buckets begin anew, full.
CREATE UNLOGGED TABLE dispatcher.submission_rate (
  caller_id text PRIMARY KEY,
  requests bigint NOT NULL DEFAULT 0 CHECK (requests >= 0),
  window_seconds int NOT NULL DEFAULT 0 CHECK (window_seconds >= 0),
  full_at numeric NOT NULL DEFAULT 0
) WITH (fillfactor = 50);
