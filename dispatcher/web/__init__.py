"""The HTTP edge: `app` has the paths, `server` runs them, `services` is what they are given."""
