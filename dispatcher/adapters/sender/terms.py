"""How long, how much and over how many connections the sender goes."""

from __future__ import annotations

from msgspec import Struct


class SenderTerms(Struct, frozen=True, kw_only=True):
    """The bounds of one attempt, and of the pool that all of them share.

    - `total_seconds`: DNS, connect, TLS, headers and body of the answer together.
    - `connect_seconds`: DNS, connect and TLS, over all addresses of the name together.
    - `read_bytes`: of the answer's body; what comes after is neither read nor waited for.
    - `kept_bytes`: of it are told.
    - `head_bytes`: of everything in an answer that is not its body: status line, header fields,
      framing of chunks, 1xx answers.
    - `connections`: open at once, in use and idle together; the longest idle makes place.
    - `idle_seconds`: how long a connection is kept for the next callback. The default is less than
      the five seconds after which Node.js, uvicorn and Apache close theirs by default, so that a
      callback is not sent on a connection that is being closed at the same moment.
    """

    total_seconds: float = 15.0
    connect_seconds: float = 5.0
    read_bytes: int = 65_536
    kept_bytes: int = 4_096
    head_bytes: int = 32_768
    connections: int = 512
    idle_seconds: float = 4.0
