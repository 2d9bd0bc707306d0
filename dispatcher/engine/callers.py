"""Callers, their API keys and signing secrets: made, ended, rotated. Each is told once."""

from __future__ import annotations

import hashlib
from base64 import urlsafe_b64encode
from collections.abc import Callable
from typing import Any, Final

from msgspec import Struct
from msgspec.structs import replace

from dispatcher.core.audit import Actor, AuditAction, AuditEntry
from dispatcher.core.errors import Forbidden, NameTaken, NotFound, StoreUnavailable, TooMany
from dispatcher.core.facts import ActionAudited
from dispatcher.core.model import ApiKey, Caller, Instant, Role
from dispatcher.core.payload import rfc3339, seconds
from dispatcher.core.quotas import CallerTerms
from dispatcher.core.signature import format_secret
from dispatcher.engine.audit import Entries
from dispatcher.ports.callers import CallerStore
from dispatcher.ports.observer import Observer
from dispatcher.ports.records import MOST_KEYS, MOST_SECRETS, Addition
from dispatcher.ports.system import Clock, Ids, Random
from dispatcher.ports.vault import Vault

API_KEY_PREFIX: Final = "dsp_"
API_KEY_BYTES: Final = 32
SIGNING_SECRET_BYTES: Final = 32

RESERVED_NAMES: Final = frozenset({"dev", "dispatcher"})
"""The service's own: `--dev` acts as `dev`, whose secret is fixed and public."""


class CreatedKey(Struct, frozen=True):
    """A new API key; `text` is the key itself, which nothing keeps."""

    key: ApiKey
    text: str


class CreatedCaller(Struct, frozen=True):
    """A new caller with its first key, and its signing secret (`whsec_…`)."""

    caller: Caller
    created: CreatedKey
    secret: str


class RotatedSecret(Struct, frozen=True):
    """A new signing secret (`whsec_…`). The others sign until `others_until` at the latest."""

    caller: Caller
    secret: str
    created_at: Instant
    others_until: Instant


class Callers:
    """What operators do about callers. Other processes notice it within a few seconds.

    Whatever is done stands in the audit log, as that of an `actor`, in the same commit. `on_change`
    is called after it with the caller's id: what this process knows of it is to be read anew.
    """

    TRIES = 5
    """How often a change is made anew because another was made meanwhile."""

    def __init__(
        self,
        store: CallerStore,
        vault: Vault,
        clock: Clock,
        ids: Ids,
        random: Random,
        observer: Observer,
    ) -> None:
        self._store = store
        self._vault = vault
        self._clock = clock
        self._ids = ids
        self._random = random
        self._observer = observer
        self._entries = Entries(clock, ids)
        self.on_change: Callable[[str], None] = lambda _: None

    def _told(self, entry: AuditEntry) -> None:
        self._observer.saw(ActionAudited(entry))
        self.on_change(entry.caller_id or entry.target)

    async def create(self, name: str, role: Role, actor: Actor) -> CreatedCaller:
        """Add a caller with its first API key and signing secret. Raises `NameTaken`."""
        now = self._clock.now()
        caller = Caller(self._ids.new("clr"), name, now)
        key, digest = self._new_key(caller.id, role, now, None)
        secret = self._random.token(SIGNING_SECRET_BYTES)
        sealed = self._vault.seal(secret, caller.id)
        entry = self._entries.of(
            actor,
            AuditAction.CALLER_CREATE,
            caller.id,
            caller_id=caller.id,
            name=name,
            role=role,
            keyId=key.key.id,
        )
        if not await self._store.add_caller(caller, key.key, digest, sealed, entry):
            raise NameTaken(name)
        self._told(entry)
        return CreatedCaller(caller, key, format_secret(secret))

    async def change(
        self, caller_id: str, wanted: Callable[[CallerTerms], CallerTerms], actor: Actor
    ) -> Caller:
        """Set what `wanted` makes of a caller's terms; gives the caller as it is then.

        Whoever changes something else at the same time changes that too. Raises `NotFound`,
        `StoreUnavailable`.
        """
        for _ in range(self.TRIES):
            caller = await self._find(caller_id)
            terms = wanted(caller.terms)
            if terms == caller.terms:
                return caller
            entry = self._entries.of(
                actor,
                AuditAction.CALLER_CHANGE,
                caller_id,
                caller_id=caller_id,
                before=terms_json(caller.terms),
                after=terms_json(terms),
            )
            if await self._store.set_terms(caller_id, caller.terms, terms, entry):
                self._told(entry)
                return replace(caller, terms=terms)
        raise StoreUnavailable("The caller changes faster than it can be changed; try again.")

    async def _find(self, caller_id: str) -> Caller:
        caller = await self._store.find_caller(caller_id)
        if caller is None or caller.id != caller_id:
            raise NotFound("caller", caller_id)
        return caller

    async def add_key(
        self, caller_id: str, role: Role, actor: Actor, *, expires_at: Instant | None = None
    ) -> CreatedKey:
        """Add an API key to a caller. Raises `NotFound`, `TooMany`."""
        key, digest = self._new_key(caller_id, role, self._clock.now(), expires_at)
        entry = self._entries.of(
            actor,
            AuditAction.KEY_CREATE,
            key.key.id,
            caller_id=caller_id,
            role=role,
            expiresAt=rfc3339(expires_at),
        )
        match await self._store.add_key(key.key, digest, entry):
            case Addition.NO_CALLER:
                raise NotFound("caller", caller_id)
            case Addition.TOO_MANY:
                raise TooMany("key", MOST_KEYS, "Revoke one of them first.")
            case Addition.ADDED:
                self._told(entry)
                return key

    async def revoke_key(self, caller_id: str, key_id: str, actor: Actor) -> None:
        """Revoke an API key; once more does no harm. Raises `NotFound`."""
        entry = self._entries.of(actor, AuditAction.KEY_REVOKE, key_id, caller_id=caller_id)
        if not await self._store.revoke_key(caller_id, key_id, entry):
            raise NotFound("key", key_id)
        self._told(entry)

    async def rotate_secret(
        self, caller_id: str, actor: Actor, *, overlap_seconds: float
    ) -> RotatedSecret:
        """Give a caller a new signing secret; the others go on signing for `overlap_seconds`.

        Raises:
            NotFound: there is no such caller.
            Forbidden: its secret is fixed.
            TooMany: earlier rotations have left too many that still sign.
        """
        caller = await self._find(caller_id)
        if caller.name in RESERVED_NAMES:
            raise Forbidden(f"The secret of the caller {caller.name!r} is fixed and documented.")
        now = self._clock.now()
        secret = self._random.token(SIGNING_SECRET_BYTES)
        sealed = self._vault.seal(secret, caller_id)
        entry = self._entries.of(
            actor,
            AuditAction.SECRET_ROTATE,
            caller_id,
            caller_id=caller_id,
            overlapSeconds=overlap_seconds,
        )
        match await self._store.rotate_secret(
            caller_id, sealed, now, overlap_seconds=overlap_seconds, entry=entry
        ):
            case Addition.NO_CALLER:
                raise NotFound("caller", caller_id)
            case Addition.TOO_MANY:
                raise TooMany(
                    "secret",
                    MOST_SECRETS,
                    "Wait until one ends, or end all others with an overlap of 0.",
                )
            case Addition.ADDED:
                self._told(entry)
                until = now + round(overlap_seconds * 1000)
                return RotatedSecret(caller, format_secret(secret), now, until)

    def _new_key(
        self, caller_id: str, role: Role, now: Instant, expires_at: Instant | None
    ) -> tuple[CreatedKey, bytes]:
        text, digest = new_api_key(self._random)
        key = ApiKey(
            id=self._ids.new("key"),
            caller_id=caller_id,
            role=role,
            created_at=now,
            expires_at=expires_at,
        )
        return CreatedKey(key, text), digest


def terms_json(terms: CallerTerms) -> dict[str, Any]:
    """What is set for a caller, as it is shown and written; null: the default is in force."""
    limits, schedule = terms.limits, terms.schedule
    rate = limits.rate
    return {
        "limits": {
            "rate": (
                None
                if rate is None
                else {"requests": rate.requests, "windowSeconds": rate.window_seconds}
            ),
            "jobsWaiting": limits.jobs_waiting,
            "bytesWaiting": limits.bytes_waiting,
            "bodyBytes": limits.body_bytes,
        },
        "schedule": None if schedule is None else [seconds(each) for each in schedule.seconds],
    }


def new_api_key(random: Random) -> tuple[str, bytes]:
    """A new API key, `dsp_` and 32 bytes in base64url, and the digest that is stored of it."""
    raw = random.token(API_KEY_BYTES)
    text = API_KEY_PREFIX + urlsafe_b64encode(raw).rstrip(b"=").decode("ascii")
    return text, digest_of(text)


def digest_of(api_key: str) -> bytes:
    """SHA-256 of the key's text: 256 bits of chance need no slow hash."""
    return hashlib.sha256(api_key.encode()).digest()
