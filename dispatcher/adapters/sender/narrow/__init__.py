"""The narrow sender: what a callback needs of HTTP/1.1, over connections of its own."""

from dispatcher.adapters.sender.narrow.dialling import trusted_here
from dispatcher.adapters.sender.narrow.sending import NarrowSender

__all__ = ["NarrowSender", "trusted_here"]
