-- Keep when the next may go by the rate of a destination.
UPDATE destination SET rate_us = :rate_us WHERE seq = :seq
