-- Whose something was that was erased.
SELECT caller_id FROM dispatcher.erased WHERE id = $1 AND erased_at > $2
