-- Lock names of which only so many jobs may run, in one order, until the commit: then what runs of
-- them is counted.
SELECT pg_advisory_xact_lock(bound.number)
FROM (
  SELECT DISTINCT hashtextextended('dispatcher ' || name, 0) AS number
  FROM unnest($1::text[]) AS name
  ORDER BY number
) AS bound
