"""Child processes of the service, of which none outlives it: commands, and workers of Python."""

from __future__ import annotations

from dispatcher.adapters.runners.processes.children import (
    Child,
    Children,
    ChildrenUnavailable,
)

__all__ = ["Child", "Children", "ChildrenUnavailable"]
