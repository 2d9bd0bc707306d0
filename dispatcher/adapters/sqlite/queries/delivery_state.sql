-- The state of a delivery.
SELECT state FROM delivery WHERE id = ?
