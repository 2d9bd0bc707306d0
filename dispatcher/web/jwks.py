"""`/.well-known/jwks.json`: the public keys that `v1a` signatures are verified with."""

from __future__ import annotations

import asyncio
from typing import Final

from aiohttp import web
from msgspec import Struct

from dispatcher.core.ed25519 import PublicKey
from dispatcher.core.payload import encode
from dispatcher.engine.asking import answer_of, ask
from dispatcher.ports.callers import ServiceKeyStore
from dispatcher.ports.system import Clock
from dispatcher.web.queries import read_query

KEPT_SECONDS: Final = 5.0
"""How long the answer is kept here: whoever asks without a key must not reach the store each time.

It is read anew, too, when a hint says that keys, or anything, may have changed. Where no hint comes
(from a command on SQLite, behind a pooler, or when one was lost) a rotation is shown up to that
much later; the signer notices it within as long, each for itself."""

_HEADERS: Final = {
    "Content-Type": "application/jwk-set+json",  # RFC 7517, 8.5.1
    "Cache-Control": "public, max-age=300",
    "Access-Control-Allow-Origin": "*",  # public keys: a page that shows them may read them
}


class _Kept(Struct, frozen=True):
    body: bytes
    until: float


class PublicKeys:
    """The handler of the JWK set (RFC 7517, 5)."""

    def __init__(self, store: ServiceKeyStore, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._kept: _Kept | None = None
        self._asking: asyncio.Task[_Kept] | None = None

    def forget(self) -> None:
        """Look them up anew: they were changed."""
        self._kept = self._asking = None

    async def show(self, request: web.Request) -> web.Response:
        """`GET`: `{keys: [{kty, crv, x, kid, use, alg, whpk}]}`, newest first; all of them sign."""
        read_query(request)
        kept = self._kept
        if kept is None or kept.until <= self._clock.monotonic():
            if self._asking is None:  # who comes meanwhile waits for the same look-up
                self._asking = ask(self._look_up())
                self._asking.add_done_callback(self._asked)
            asked = self._asking
            kept = await answer_of(asked)
        return web.Response(body=kept.body, headers=_HEADERS)

    async def _look_up(self) -> _Kept:
        now = self._clock.monotonic()
        keys = [PublicKey(key.public).jwk() for key, _ in await self._store.service_keys()]
        return _Kept(encode({"keys": keys}), now + KEPT_SECONDS)

    def _asked(self, asked: asyncio.Task[_Kept]) -> None:
        if self._asking is not asked:  # forgotten meanwhile
            return
        self._asking = None
        if not asked.cancelled() and asked.exception() is None:
            self._kept = asked.result()
