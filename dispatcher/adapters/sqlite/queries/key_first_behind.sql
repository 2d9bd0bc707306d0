-- The first received of those that wait behind the front of a key.
SELECT seq FROM job
WHERE caller_id = :caller_id AND ordering_key = :key AND key_place = 3
ORDER BY seq
LIMIT 1
