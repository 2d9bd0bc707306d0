-- The part stands.
RELEASE SAVEPOINT part
