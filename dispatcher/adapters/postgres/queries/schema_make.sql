-- Our schema, and the table of what was done to it.
CREATE SCHEMA IF NOT EXISTS dispatcher;
CREATE TABLE dispatcher.migration (
  number integer PRIMARY KEY,
  name text NOT NULL,
  mark bytea NOT NULL,
  applied_at timestamptz NOT NULL DEFAULT now()
)
