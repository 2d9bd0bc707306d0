"""The asynchronous half of an HTTP API: accept jobs, do them, deliver signed callbacks."""
