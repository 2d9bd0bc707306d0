"""What went wrong with an attempt, as a stable code and a sentence for a person."""

from __future__ import annotations

import os
import re
import ssl
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

from dispatcher.adapters.resolver import LookupFailed
from dispatcher.adapters.sender.connecting import Dial
from dispatcher.adapters.sender.terms import SenderTerms

_MOST_CHARACTERS: Final = 200
_QUOTED: Final = re.compile(r""":?\s*(bytearray\()?b['"].*""", re.DOTALL)
_TOO_LONG: Final = re.compile("Got more than ([0-9]+) bytes when reading")


def explain(error: Exception, dial: Dial, terms: SenderTerms) -> tuple[str, str] | None:
    """The code of `NotSent` and its detail; None for what no receiver can cause.

    The order counts: aiohttp's exceptions inherit from one another across.
    """
    line = dial.line
    if line is not None and line.broken is not None:
        return "bad-answer", line.broken
    if line is not None and line.capped:
        return "bad-answer", f"the head of the answer is larger than {terms.head_bytes} bytes"
    if isinstance(error, ClientConnectorCertificateError):
        return "tls", f"the receiver's certificate was refused: {_certificate_fault(error)}"
    if isinstance(error, ClientConnectorSSLError):
        return "tls", f"the TLS handshake failed: {_os_fault(error.os_error)}"
    if isinstance(error, ClientConnectorDNSError):
        return "dns", f"no address of {dial.target.host} was found: {_os_fault(error.os_error)}"
    if isinstance(error, ClientConnectorError):
        return "connect", f"no connection to {dial.target.origin}: {_os_fault(error.os_error)}"
    if isinstance(error, TimeoutError):
        return _explain_timeout(dial, terms)
    return _explain_exchange(error, dial)


def _explain_timeout(dial: Dial, terms: SenderTerms) -> tuple[str, str]:
    """Which of the phases took too long; the pool's queue, DNS and connect have a shorter time."""
    before_answer = min(terms.connect_seconds, terms.total_seconds)
    match dial.phase:
        case "queue":
            many = terms.connections
            return "timeout", f"all {many} connections were in use for {before_answer:g} s"
        case "dns":
            return "dns", f"{dial.target.host} had no answer from DNS within {before_answer:g} s"
        case "connect":
            how = "connection with TLS" if dial.target.scheme == "https" else "connection"
            return "connect", f"no {how} to {dial.target.origin} within {before_answer:g} s"
        case _:
            what = "complete answer" if dial.status is None else "end of the answer's body"
            return "timeout", f"no {what} within {terms.total_seconds:g} s"


def _explain_exchange(error: Exception, dial: Dial) -> tuple[str, str] | None:
    if isinstance(error, ClientResponseError):
        return "bad-answer", f"the answer is not sound HTTP/1.1: {_parser_fault(error.message)}"
    if isinstance(error, ClientPayloadError):
        if dial.line is not None and dial.line.fault is not None:
            fault = _parser_fault(dial.line.fault.message)
            return "bad-answer", f"the body of the answer is malformed: {fault}"
        return "closed", "the receiver closed the connection within the body of its answer"
    if isinstance(error, ServerDisconnectedError):
        return "closed", "the receiver closed the connection without an answer"
    if isinstance(error, ClientOSError):
        return "closed", f"the connection broke: {_os_fault(error)}"
    if isinstance(error, ClientError):
        return "closed", "the connection broke"
    return None


def _certificate_fault(error: ClientConnectorCertificateError) -> str:
    fault = error.certificate_error
    if isinstance(fault, ssl.SSLCertVerificationError):
        return _plain(fault.verify_message)
    return "it can't be verified"


def _os_fault(fault: OSError) -> str:
    """What the system says of it, without the numbers and addresses that libraries put around."""
    if isinstance(fault, LookupFailed):
        return _plain(str(fault))
    if isinstance(fault, ssl.SSLError):
        return _plain((fault.reason or "it gave no reason").replace("_", " ").lower())
    if fault.errno is not None and fault.errno > 0:
        return os.strerror(fault.errno)
    return _plain(fault.strerror or "it gave no reason")


def _parser_fault(message: str) -> str:
    """What the parser says, without the bytes that it quotes."""
    fault = _QUOTED.sub("", message).partition("\n")[0].rstrip(":")
    return _plain(_TOO_LONG.sub(r"a line is longer than \1 bytes", fault))


def _plain(text: str) -> str:
    printable = "".join(char if char.isprintable() else " " for char in text)
    return printable.strip()[:_MOST_CHARACTERS]
