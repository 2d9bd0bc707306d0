"""Who calls: API keys, their roles, and what each may see."""

from __future__ import annotations

import hashlib
import re
from collections import OrderedDict
from typing import Final

from aiohttp import web
from msgspec import Struct

from dispatcher.core.audit import Actor, Via
from dispatcher.core.errors import Forbidden, NotFound, Unauthenticated
from dispatcher.core.model import ApiKey, Caller, Instant, Role
from dispatcher.ports.callers import CallerStore
from dispatcher.ports.system import Clock
from dispatcher.web.dev import check_local
from dispatcher.web.services import DevMode

KEPT_SECONDS: Final = 5.0
"""How long a key that was looked up is believed, where nobody tells of changes: those made by
commands on SQLite, and in other processes behind a pooler."""

_KEPT_KEYS: Final = 10_000
_KEPT_STRANGERS: Final = 1_000
_KEY_CHARACTERS: Final = 256
# RFC 6750, 2.1 (b64token); the scheme's name in any case (RFC 9110, 11.1).
_BEARER: Final = re.compile(r"[Bb][Ee][Aa][Rr][Ee][Rr] +([A-Za-z0-9._~+/-]+=*)[ \t]*")


REQUEST_ID_KEY: Final = web.RequestKey("request id", str)
"""The id of a request, within this process: as the answer and the log have it."""


class Identity(Struct, frozen=True):
    """Who makes a request, and in which roles. `key_id` None: `--dev`, without a key."""

    caller: Caller
    roles: frozenset[Role]
    key_id: str | None = None

    @property
    def sees_all(self) -> bool:
        """Whether it sees every caller's things: an operator."""
        return Role.OPERATOR in self.roles

    @property
    def scope(self) -> str | None:
        """The caller whose things alone it sees; None: everyone's."""
        return None if self.sees_all else self.caller.id

    def acting(self, request: web.Request) -> Actor:
        """Who acts by this request, for the audit log."""
        return Actor(
            via=Via.API,
            caller_id=self.caller.id,
            key_id=self.key_id,
            address=request.remote,
            request_id=request[REQUEST_ID_KEY],
        )

    def require(self, allowed: frozenset[Role]) -> None:
        """Raise `Forbidden` unless one of its roles is allowed."""
        if self.roles.isdisjoint(allowed):
            needed = " or ".join(sorted(allowed))
            raise Forbidden(f"This call needs an API key with the role {needed}.")


async def named_caller(store: CallerStore, who: Identity, caller_id: str | None) -> Caller:
    """The caller for whom an operator makes a call that names one; else whoever makes it.

    Raises:
        NotFound: there is none with that id, or who asks is no operator.
    """
    if caller_id is None or caller_id == who.caller.id:
        return who.caller
    caller = await store.find_caller(caller_id) if who.sees_all else None
    if caller is None or caller.id != caller_id:
        raise NotFound("caller", caller_id)
    return caller


class _Kept(Struct):
    """A key as it was looked up; None: there is none with that digest."""

    found: tuple[ApiKey, Identity] | None
    until: float


class Keys:
    """Tells who calls by `Authorization: Bearer`, with one query a key in a few seconds.

    Only digests are kept and looked up, by which nobody can learn a key from timing: who guesses
    can't steer the digest (and a key has 256 bits of chance). Keys that are not known are kept
    apart, so that guessing does not push out those that are.
    """

    def __init__(self, store: CallerStore, clock: Clock, dev: DevMode | None) -> None:
        self._store = store
        self._clock = clock
        self._known: OrderedDict[bytes, _Kept] = OrderedDict()
        self._strangers: OrderedDict[bytes, _Kept] = OrderedDict()
        self._times_forgotten = 0
        self._dev = None if dev is None else Identity(dev.caller, frozenset(Role))

    def forget(self, caller_id: str | None = None) -> None:
        """Look up anew the keys of a caller; None: all."""
        self._times_forgotten += 1
        self._strangers.clear()
        for digest, kept in list(self._known.items()):
            if caller_id is None or kept.found is None or kept.found[0].caller_id == caller_id:
                del self._known[digest]

    async def identify(self, request: web.Request) -> Identity:
        """Who makes the request.

        Raises:
            Unauthenticated: there is no key, or more than one, or one that is unknown, expired or
                revoked.
            Forbidden: in `--dev`, a request without a key that may not come from this machine.
            StoreUnavailable: the key can't be looked up.
        """
        fields = request.headers.getall("Authorization", ())
        if not fields:
            if self._dev is None:
                raise Unauthenticated(
                    "Send an API key: Authorization: Bearer dsp_…. "
                    "An operator makes one with `dispatcher callers create`."
                )
            check_local(request.headers)
            return self._dev
        if len(fields) > 1:  # a proxy before us may have gone by the other one
            raise Unauthenticated("Send the header Authorization once, with one API key.")
        match = _BEARER.fullmatch(fields[0])
        if match is None or len(match[1]) > _KEY_CHARACTERS:
            raise Unauthenticated("The header must be: Authorization: Bearer <api key>.")
        return await self._of(hashlib.sha256(match[1].encode()).digest())

    async def _of(self, digest: bytes) -> Identity:
        now = self._clock.monotonic()
        kept = self._known.get(digest) or self._strangers.get(digest)
        if kept is None or kept.until <= now:
            kept = await self._look_up(digest, kept, now)
        if kept.found is None:
            raise Unauthenticated("This API key is not known, or was revoked.")
        key, identity = kept.found
        if key.expires_at is not None and key.expires_at <= self._clock.now():
            raise Unauthenticated("This API key has expired.")
        return identity

    async def _look_up(self, digest: bytes, stale: _Kept | None, now: float) -> _Kept:
        if stale is not None:
            # Whoever comes while this one asks is answered from what was known a moment ago.
            stale.until = now + KEPT_SECONDS
        before = self._times_forgotten
        try:
            row = await self._store.find_key(digest)
        except BaseException:
            if stale is not None:
                stale.until = now
            raise
        found = None
        if row is not None and not _is_revoked(row[0], self._clock.now()):
            found = (row[0], Identity(row[1], frozenset({row[0].role}), row[0].id))
        kept = _Kept(found, self._clock.monotonic() + KEPT_SECONDS)
        if self._times_forgotten != before:  # it may have read what was before
            return kept
        self._known.pop(digest, None)
        self._strangers.pop(digest, None)
        if found is None:
            _keep(self._strangers, digest, kept, _KEPT_STRANGERS)
        else:
            _keep(self._known, digest, kept, _KEPT_KEYS)
        return kept


def _is_revoked(key: ApiKey, now: Instant) -> bool:
    return key.revoked_at is not None and key.revoked_at <= now


def _keep(cache: OrderedDict[bytes, _Kept], digest: bytes, kept: _Kept, limit: int) -> None:
    """The oldest look-up goes: one that is used comes back within seconds."""
    cache[digest] = kept
    if len(cache) > limit:
        cache.popitem(last=False)
