-- Begin to write; `connection.SETTINGS` hold.
BEGIN ISOLATION LEVEL READ COMMITTED
