"""The sender over aiohttp's client: see `ports.sender`."""

from dispatcher.adapters.sender.sending import AiohttpSender
from dispatcher.adapters.sender.terms import SenderTerms

__all__ = ["AiohttpSender", "SenderTerms"]
