-- Keep when the next may go by the rate of a destination.
UPDATE dispatcher.destination SET rate_us = $2 WHERE seq = $1
