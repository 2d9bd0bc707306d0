"""The senders: see `ports.sender`."""

from dispatcher.adapters.sender.narrow import NarrowSender, trusted_here
from dispatcher.adapters.sender.over_aiohttp import AiohttpSender
from dispatcher.adapters.sender.terms import SenderTerms

__all__ = ["AiohttpSender", "NarrowSender", "SenderTerms", "trusted_here"]
