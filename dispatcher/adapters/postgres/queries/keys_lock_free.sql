-- Lock those keys that nobody else has locked.
SELECT known.caller_id, known.key
FROM unnest($1::text[], $2::text[]) AS wanted (caller_id, key)
JOIN dispatcher.ordering_key AS known
  ON known.caller_id = wanted.caller_id AND known.key = wanted.key
FOR UPDATE OF known SKIP LOCKED
