-- Go on numbering where another database stopped.
SELECT setval(pg_get_serial_sequence('dispatcher.' || name, 'seq'), number)
FROM unnest($1::text[], $2::bigint[]) AS last (name, number)
