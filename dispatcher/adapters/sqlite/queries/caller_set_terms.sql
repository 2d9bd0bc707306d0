-- Set what holds for a caller.
UPDATE caller SET terms = :terms WHERE id = :id
