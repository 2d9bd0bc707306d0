"""TLS sessions that are taken up again, so that a new connection needs no whole handshake.

A session is taken up only with the receiver that it was made with: it stands for the certificate
that was verified then. So it is kept for its origin alone, for a few minutes, and never past the
end of that certificate; what is resumed from it does not make it last longer (RFC 8446, 4.6.1 and
C.4).
"""

from __future__ import annotations

import ssl
import time
from typing import Final

from msgspec import Struct

_KEPT_SECONDS: Final = 300.0
_KEPT_SESSIONS: Final = 1_024


class _Kept(Struct, frozen=True):
    session: ssl.SSLSession
    until: float


class Sessions:
    """The last session of each origin. Instants are seconds of a clock that only runs forward."""

    def __init__(self) -> None:
        self._kept: dict[str, _Kept] = {}

    def find(self, origin: str, now: float) -> ssl.SSLSession | None:
        kept = self._kept.get(origin)
        if kept is None or now >= kept.until:
            self._kept.pop(origin, None)
            return None
        return kept.session

    def keep(self, origin: str, tls: ssl.SSLObject, now: float) -> None:
        """Keep the session of a connection on which the receiver has answered."""
        session = tls.session
        if session is None or not session.has_ticket:
            return
        until = now + min(_KEPT_SECONDS, session.ticket_lifetime_hint or session.timeout)
        if tls.session_reused:
            before = self._kept.get(origin)
            if before is None:
                return  # its time is over: the next handshake is a whole one
            until = min(until, before.until)
        else:
            until = min(until, now + _seconds_certified(tls))
        self._kept.pop(origin, None)
        while len(self._kept) >= _KEPT_SESSIONS:
            del self._kept[next(iter(self._kept))]
        self._kept[origin] = _Kept(session, until)


def _seconds_certified(tls: ssl.SSLObject) -> float:
    """How long the receiver's certificate lasts, by the machine's clock as OpenSSL sees it."""
    ends = (tls.getpeercert() or {}).get("notAfter")
    try:
        return ssl.cert_time_to_seconds(str(ends)) - time.time()
    except ValueError:  # not told, or in a form of which nobody knows when it is
        return 0.0


class Resuming:
    """What event loops ask of an `ssl.SSLContext`, with a session to take up.

    Neither asyncio nor uvloop passes a session on to `SSLContext.wrap_bio`.
    """

    def __init__(self, context: ssl.SSLContext, session: ssl.SSLSession) -> None:
        self._context = context
        self._session = session

    def wrap_bio(
        self,
        incoming: ssl.MemoryBIO,
        outgoing: ssl.MemoryBIO,
        server_side: bool = False,
        server_hostname: str | bytes | None = None,
    ) -> ssl.SSLObject:
        return self._context.wrap_bio(
            incoming,
            outgoing,
            server_side=server_side,
            server_hostname=server_hostname,
            session=self._session,
        )
