"""What went wrong with an attempt, in sentences for a person; each sender finds out by itself what.

Each function answers the code of `NotSent` and its detail.
"""

from __future__ import annotations

import os
import ssl
from typing import Final

from dispatcher.adapters.resolver import LookupFailed
from dispatcher.adapters.sender.dial import Dial
from dispatcher.adapters.sender.terms import SenderTerms

Why = tuple[str, str]

SHUT_DOWN: Final = ("closed", "the service was shut down while the callback was being sent")
DEFECT: Final = ("closed", "the callback could not be sent; the log of the service says more")
NO_ANSWER: Final = ("closed", "the receiver closed the connection without an answer")
HALF_A_BODY: Final = ("closed", "the receiver closed the connection within the body of its answer")
UNASKED: Final = "the receiver sent something before it was asked"

_MOST_CHARACTERS: Final = 200


def timed_out(dial: Dial, terms: SenderTerms) -> Why:
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


def no_address(dial: Dial, fault: OSError) -> Why:
    return "dns", f"no address of {dial.target.host} was found: {_os_fault(fault)}"


def no_connection(dial: Dial, fault: OSError) -> Why:
    return "connect", f"no connection to {dial.target.origin}: {_os_fault(fault)}"


def bad_certificate(fault: Exception) -> Why:
    why = "it can't be verified"
    if isinstance(fault, ssl.SSLCertVerificationError):
        why = plain(fault.verify_message)
    return "tls", f"the receiver's certificate was refused: {why}"


def no_handshake(fault: OSError) -> Why:
    return "tls", f"the TLS handshake failed: {_os_fault(fault)}"


def broken_off(fault: OSError) -> Why:
    return "closed", f"the connection broke: {_os_fault(fault)}"


def head_too_large(terms: SenderTerms) -> str:
    return f"the head of the answer is larger than {terms.head_bytes} bytes"


def not_http(fault: str) -> str:
    return f"the answer is not sound HTTP/1.1: {fault}"


def malformed_body(fault: str) -> str:
    return f"the body of the answer is malformed: {fault}"


def plain(text: str) -> str:
    """The text without what can't be printed, and not too long."""
    printable = "".join(char if char.isprintable() else " " for char in text)
    return printable.strip()[:_MOST_CHARACTERS]


def _os_fault(fault: OSError) -> str:
    """What the system says of it, without the numbers and addresses that libraries put around."""
    if isinstance(fault, LookupFailed):
        return plain(str(fault))
    if isinstance(fault, ssl.SSLError):
        return plain((fault.reason or "it gave no reason").replace("_", " ").lower())
    if fault.errno is not None and fault.errno > 0:
        return os.strerror(fault.errno)
    return plain(fault.strerror or "it gave no reason")
