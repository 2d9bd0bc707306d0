-- Where each job leaves rows and pruning takes them away again, vacuum comes by after a fiftieth of
-- the table, and does not pause: as `job` and `delivery` have it from the beginning. By default it
-- would come after a fifth, some days' worth of a busy service, whose dead rows pruning and the feed
-- would read over. It locks out nobody.
ALTER TABLE dispatcher.event SET (
  autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 1000,
  autovacuum_analyze_scale_factor = 0.02, autovacuum_vacuum_cost_delay = 0
);
ALTER TABLE dispatcher.job_input SET (
  autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 1000,
  autovacuum_vacuum_cost_delay = 0
);
ALTER TABLE dispatcher.job_result SET (
  autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 1000,
  autovacuum_vacuum_cost_delay = 0
);
ALTER TABLE dispatcher.attempt SET (
  autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 1000,
  autovacuum_vacuum_cost_delay = 0
);
ALTER TABLE dispatcher.idempotency SET (
  autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 1000,
  autovacuum_vacuum_cost_delay = 0
);
ALTER TABLE dispatcher.erased SET (
  autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 1000,
  autovacuum_vacuum_cost_delay = 0
);

-- Few rows, each written with every job: they must be read in few blocks whatever happened to them.
ALTER TABLE dispatcher.lane SET (
  autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000,
  autovacuum_vacuum_cost_delay = 0
);
ALTER TABLE dispatcher.destination SET (
  autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000,
  autovacuum_vacuum_cost_delay = 0
);
