-- A delivery as a redelivery compares it, and where it goes.
SELECT seq, state, round, url, chain, caller_id, origin, endpoint_id FROM delivery WHERE id = ?
