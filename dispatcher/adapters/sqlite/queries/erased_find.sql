-- Whose something was that was erased.
SELECT caller_id FROM erased WHERE id = :id AND erased_at > :since
