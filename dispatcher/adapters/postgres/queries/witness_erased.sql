-- Whether it is known of something that it was erased.
SELECT 1 FROM dispatcher.erased WHERE id = $1
