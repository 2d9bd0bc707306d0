-- Rotation: the service's own keys, and secrets and keys of callers that end.
--
-- In each table of secrets one row at most has no end: that which signs until it is rotated.

-- `id` is the thumbprint of the public key; `sealed` holds the private one.
CREATE TABLE service_key (
  seq INTEGER PRIMARY KEY AUTOINCREMENT,
  id TEXT NOT NULL UNIQUE,
  public BLOB NOT NULL CHECK (length(public) = 32),
  sealed BLOB NOT NULL,
  created_at INTEGER NOT NULL,
  retired_at INTEGER
) STRICT;
CREATE UNIQUE INDEX service_key_lasting ON service_key (retired_at IS NULL)
  WHERE retired_at IS NULL;

CREATE UNIQUE INDEX secret_lasting ON secret (caller_id) WHERE expires_at IS NULL;

CREATE INDEX api_key_of_caller ON api_key (caller_id, created_at) WHERE revoked_at IS NULL;
