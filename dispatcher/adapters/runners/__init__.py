"""Runners for handlers written in Python, and the built-in types."""
