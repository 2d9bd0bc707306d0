"""What aiohttp's exceptions mean, in the words that both senders use."""

from __future__ import annotations

import re
from typing import Final

from aiohttp import (
    ClientConnectorCertificateError,
    ClientConnectorDNSError,
    ClientConnectorError,
    ClientConnectorSSLError,
    ClientError,
    ClientOSError,
    ClientPayloadError,
    ClientResponseError,
    ServerDisconnectedError,
)

from dispatcher.adapters.sender import words
from dispatcher.adapters.sender.over_aiohttp.connecting import Call
from dispatcher.adapters.sender.terms import SenderTerms

_QUOTED: Final = re.compile(r""":?\s*(bytearray\()?b['"].*""", re.DOTALL)
_TOO_LONG: Final = re.compile("Got more than ([0-9]+) bytes when reading")


def explain(error: Exception, call: Call, terms: SenderTerms) -> words.Why | None:
    """The code of `NotSent` and its detail; None for what no receiver can cause.

    The order counts: aiohttp's exceptions inherit from one another across.
    """
    line = call.line
    if line is not None and line.broken is not None:
        return "bad-answer", line.broken
    if line is not None and line.capped:
        return "bad-answer", words.head_too_large(terms)
    if isinstance(error, ClientConnectorCertificateError):
        return words.bad_certificate(error.certificate_error)
    if isinstance(error, ClientConnectorSSLError):
        return words.no_handshake(error.os_error)
    if isinstance(error, ClientConnectorDNSError):
        return words.no_address(call, error.os_error)
    if isinstance(error, ClientConnectorError):
        return words.no_connection(call, error.os_error)
    if isinstance(error, TimeoutError):
        return words.timed_out(call, terms)
    return _explain_exchange(error, call)


def _explain_exchange(error: Exception, call: Call) -> words.Why | None:
    if isinstance(error, ClientResponseError):
        return "bad-answer", words.not_http(_parser_fault(error.message))
    if isinstance(error, ClientPayloadError):
        if call.line is not None and call.line.fault is not None:
            return "bad-answer", words.malformed_body(_parser_fault(call.line.fault.message))
        return words.HALF_A_BODY
    if isinstance(error, ServerDisconnectedError):
        return words.NO_ANSWER
    if isinstance(error, ClientOSError):
        return words.broken_off(error)
    if isinstance(error, ClientError):
        return "closed", "the connection broke"
    return None


def _parser_fault(message: str) -> str:
    """What the parser says, without the bytes that it quotes."""
    fault = _QUOTED.sub("", message).partition("\n")[0].rstrip(":")
    return words.plain(_TOO_LONG.sub(r"a line is longer than \1 bytes", fault))
