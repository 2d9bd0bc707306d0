-- How many standbys follow, which of them a commit waits for, and how many connections there may be.
SELECT
  (SELECT count(*) FROM pg_stat_replication WHERE state = 'streaming'),
  current_setting('synchronous_standby_names'),
  current_setting('max_connections')::integer
