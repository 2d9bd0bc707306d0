-- Endpoints that were deleted and are not erased yet.
SELECT id FROM dispatcher.endpoint WHERE deleted_at IS NOT NULL ORDER BY deleted_at, seq LIMIT $1
