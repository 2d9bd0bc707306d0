"""For the programs around the service: receivers verify callbacks with it.

from dispatcher.client import VerificationError, verify
"""

from __future__ import annotations

from dispatcher.client.verify import ReceivedEvent, verify
from dispatcher.core.signature import VerificationError

__all__ = ["ReceivedEvent", "VerificationError", "verify"]
