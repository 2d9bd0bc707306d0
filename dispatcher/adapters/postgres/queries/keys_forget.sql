-- Forget keys, which are locked, of which no job is open any more.
DELETE FROM dispatcher.ordering_key AS known
USING unnest($1::text[], $2::text[]) AS over (caller_id, key)
WHERE known.caller_id = over.caller_id AND known.key = over.key
  AND (
    SELECT seq FROM dispatcher.job
    WHERE caller_id = over.caller_id AND ordering_key = over.key AND key_place = 1
    LIMIT 1
  ) IS NULL
  AND (
    SELECT seq FROM dispatcher.job
    WHERE caller_id = over.caller_id AND ordering_key = over.key AND key_place = 2
    LIMIT 1
  ) IS NULL
  AND (
    SELECT seq FROM dispatcher.job
    WHERE caller_id = over.caller_id AND ordering_key = over.key AND key_place = 3
    LIMIT 1
  ) IS NULL
