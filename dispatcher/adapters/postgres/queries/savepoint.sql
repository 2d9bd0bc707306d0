-- Begin a part of a batch that stands or falls by itself.
SAVEPOINT part
