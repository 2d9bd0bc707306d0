-- One at a time changes the schema ("CBDP" as a number).
SELECT pg_advisory_xact_lock(1128416336)
