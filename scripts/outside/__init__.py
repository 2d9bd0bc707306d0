"""The service from the outside: its process, its API and a receiver, as users have them.

The benchmark, the crash test, the demo and `tests/whole` are built from these parts. None of them
imports the service; they know what `docs/reference` says and nothing else.
"""
