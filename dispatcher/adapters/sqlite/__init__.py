"""The store on SQLite: one file, one writing thread, every commit synced to the disk."""

from dispatcher.adapters.sqlite.lock import ServeLock
from dispatcher.adapters.sqlite.store import SqliteStore

__all__ = ["ServeLock", "SqliteStore"]
