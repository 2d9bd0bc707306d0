"""Runners: for handlers in Python, commands and HTTP endpoints, and the built-in types."""
