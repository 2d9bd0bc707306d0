-- The index by age is for the sweep alone. What it says here, that an age is there, always holds and
-- only a comparison of ages implies it: so the planner, which expects next to nothing pending while
-- nothing waits, takes it for no other statement.
DROP INDEX dispatcher.delivery_age;
CREATE INDEX delivery_age ON dispatcher.delivery ((coalesce(redelivered_at, created_at)), seq)
  WHERE state = 'pending' AND coalesce(redelivered_at, created_at) IS NOT NULL;
