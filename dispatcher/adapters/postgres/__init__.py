"""The store on PostgreSQL: many processes and nodes, every commit confirmed by the server."""

from dispatcher.adapters.postgres.connection import Patience
from dispatcher.adapters.postgres.store import PostgresStore

__all__ = ["Patience", "PostgresStore"]
