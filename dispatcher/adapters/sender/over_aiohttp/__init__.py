"""The sender over aiohttp's client: the reference that the narrow one is compared with."""

from dispatcher.adapters.sender.over_aiohttp.sending import AiohttpSender

__all__ = ["AiohttpSender"]
