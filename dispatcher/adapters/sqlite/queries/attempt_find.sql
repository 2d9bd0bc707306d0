-- Whether a later attempt was recorded under a lease.
SELECT 1 FROM attempt WHERE delivery_seq = ? AND number = ? AND lease = ?
