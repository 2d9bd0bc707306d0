-- Begin to read: one state of the store, whatever is committed meanwhile. `connection.SETTINGS` hold.
BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY
