-- The destinations of an endpoint: more than one if its URL was changed while something waited.
SELECT seq FROM destination WHERE endpoint_id = ? AND endpoint_id <> ''
