-- So many jobs more wait in a lane, and so many bytes of their inputs; less, if below 0.
UPDATE lane SET waiting = waiting + ?, waiting_bytes = waiting_bytes + ? WHERE seq = ?
