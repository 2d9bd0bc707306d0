-- Where a delivery goes, and the line that it is of.
SELECT url, target_seq FROM dispatcher.delivery WHERE seq = $1
