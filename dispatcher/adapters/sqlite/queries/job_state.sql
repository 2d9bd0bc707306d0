-- Whether a job is there and how it stands.
SELECT state FROM job WHERE id = ?
