-- Whether an endpoint is there, in a version or a later one.
SELECT 1 FROM dispatcher.endpoint WHERE id = $1 AND version >= $2::text::bigint
