"""The service's own key: made at the first start, rotated with an overlap, sealed in the store."""

from __future__ import annotations

from dispatcher.core.audit import Actor, AuditAction
from dispatcher.core.ed25519 import SEED_BYTES, PrivateKey, parse_private_key
from dispatcher.core.errors import SecretsUnreadable, TooMany
from dispatcher.core.facts import ActionAudited
from dispatcher.core.model import ServiceKey
from dispatcher.engine.audit import Entries
from dispatcher.ports.callers import ServiceKeyStore
from dispatcher.ports.observer import Observer
from dispatcher.ports.records import MOST_SECRETS, OVERLAP_SECONDS
from dispatcher.ports.system import Clock, Ids, Random
from dispatcher.ports.vault import Vault


async def ensure_service_key(
    store: ServiceKeyStore, vault: Vault, clock: Clock, random: Random
) -> None:
    """Make the first key if there is none, and see that those that are there can be read.

    Raises:
        SecretsUnreadable: one was sealed with another key.
        StoreError: the store does not work.
    """
    kept = await store.service_keys()
    if not kept:
        await store.add_service_key(*_new(vault, clock, random))
        kept = await store.service_keys()
    for key, sealed in kept:
        open_service_key(key, sealed, vault)


async def rotate_service_key(
    store: ServiceKeyStore,
    vault: Vault,
    clock: Clock,
    random: Random,
    ids: Ids,
    observer: Observer,
    actor: Actor,
    *,
    overlap_seconds: float = OVERLAP_SECONDS,
) -> ServiceKey:
    """Make a new key; the others go on signing for `overlap_seconds`, beside it.

    It stands in the audit log as done by `actor`.

    Raises:
        TooMany: earlier rotations have left too many that still sign.
        StoreError: the store does not work.
    """
    key, sealed = _new(vault, clock, random)
    entry = Entries(clock, ids).of(
        actor, AuditAction.SERVICE_KEY_ROTATE, key.id, overlapSeconds=overlap_seconds
    )
    if not await store.rotate_service_key(
        key, sealed, overlap_seconds=overlap_seconds, entry=entry
    ):
        raise TooMany(
            "service-key",
            MOST_SECRETS,
            "Wait until one ends, or end all others with an overlap of 0.",
        )
    observer.saw(ActionAudited(entry))
    return key


def open_service_key(key: ServiceKey, sealed: bytes, vault: Vault) -> PrivateKey:
    """The private key; raises `SecretsUnreadable` if it can't be had, or is not this key's."""
    try:
        private = parse_private_key(vault.open(sealed, key.id).decode("ascii"))
    except ValueError:
        private = None
    if private is None or private.public.raw != key.public:
        raise SecretsUnreadable(
            f"the service's own key {key.id} is damaged in the database: make a new one with "
            "`dispatcher keys rotate --overlap 0`, and tell receivers that verify v1a"
        )
    return private


def _new(vault: Vault, clock: Clock, random: Random) -> tuple[ServiceKey, bytes]:
    private = PrivateKey(random.token(SEED_BYTES))
    key = ServiceKey(
        id=private.public.thumbprint, public=private.public.raw, created_at=clock.now()
    )
    return key, vault.seal(private.reveal().encode("ascii"), key.id)
