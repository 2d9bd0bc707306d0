"""`dispatcher keys`: the service's own keys, with which receivers verify `v1a` signatures."""

from __future__ import annotations

import asyncio
from pathlib import Path

import click
from msgspec import Struct

from dispatcher.adapters.system import SystemClock, SystemRandom, Uuid7Ids
from dispatcher.cli.opening import opened
from dispatcher.cli.options import print_json, settings_of, with_json, with_overlap, with_store
from dispatcher.core.audit import CLI
from dispatcher.core.ed25519 import PublicKey
from dispatcher.core.model import ServiceKey
from dispatcher.core.payload import rfc3339
from dispatcher.engine.service_keys import rotate_service_key
from dispatcher.settings import Settings


class ShownServiceKey(Struct, frozen=True, kw_only=True, rename="camel"):
    """A key of the service: `kid` as in the JWK set, and when it stops signing."""

    kid: str
    whpk: str
    created_at: str | None
    signs_until: str | None


@click.group("keys")
def keys_group() -> None:
    """Show and rotate the service's own keys; safe beside a running service.

    Callbacks are signed with them besides the caller's secret; their public halves are at
    /.well-known/jwks.json. The first is made when the service first starts.
    """


@keys_group.command("list")
@with_store
@with_json
def list_command(config: Path | None, store: str | None, as_json: bool) -> None:
    """Show the keys in force, newest first."""
    settings = settings_of({"store": store}, config).settings
    keys = asyncio.run(_list(settings))
    if as_json:
        print_json({"items": [_shown(key) for key in keys]})
        return
    if not keys:
        print("There is none yet: `dispatcher serve` makes the first.")
    for key in keys:
        print(_line(key))


@keys_group.command("rotate")
@with_overlap("keys there are")
@with_store
@with_json
def rotate_command(overlap: int, config: Path | None, store: str | None, as_json: bool) -> None:
    """Make a new key; a running service signs with it within a few seconds.

    Until the overlap ends callbacks bear a signature of each key, and the JWK set holds them all.
    """
    settings = settings_of({"store": store}, config).settings
    key, others = asyncio.run(_rotate(settings, overlap))
    if as_json:
        print_json({"key": _shown(key), "others": [_shown(other) for other in others]})
        return
    print(f"The new key is\n  {_line(key)}")
    if others:
        print("Besides there are\n  " + "\n  ".join(_line(other) for other in others))
    print("Receivers that don't read /.well-known/jwks.json must be given the new public key.")


async def _list(settings: Settings) -> list[ServiceKey]:
    async with opened(settings) as both:
        return [key for key, _ in await both.store.service_keys()]


async def _rotate(settings: Settings, overlap: int) -> tuple[ServiceKey, list[ServiceKey]]:
    async with opened(settings) as both:
        made = await rotate_service_key(
            both.store,
            both.vault,
            SystemClock(),
            SystemRandom(),
            Uuid7Ids(),
            both.telling,
            CLI,
            overlap_seconds=overlap,
        )
        keys = [key for key, _ in await both.store.service_keys()]
        return made, [key for key in keys if key.id != made.id]


def _shown(key: ServiceKey) -> ShownServiceKey:
    return ShownServiceKey(
        kid=key.id,
        whpk=PublicKey(key.public).text,
        created_at=rfc3339(key.created_at),
        signs_until=rfc3339(key.retired_at),
    )


def _line(key: ServiceKey) -> str:
    ends = "" if key.retired_at is None else f", signs until {rfc3339(key.retired_at)}"
    return f"{PublicKey(key.public).text}  made {rfc3339(key.created_at)}{ends}"
