-- What the last attempt of a delivery was answered.
SELECT status_code FROM attempt WHERE delivery_seq = ? ORDER BY number DESC LIMIT 1
