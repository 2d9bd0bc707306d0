"""`dispatcher callers`: who may use the service, made in the store itself."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path
from typing import Final

import click
from msgspec import Struct

from dispatcher.adapters.secrets import SIGNING_SECRET_BYTES, new_api_key
from dispatcher.adapters.system import SystemClock, SystemRandom, Uuid7Ids
from dispatcher.cli.opening import Opened, opened
from dispatcher.cli.options import print_json, settings_of, with_json, with_store
from dispatcher.core.errors import DispatcherError
from dispatcher.core.model import ApiKey, Caller, Role
from dispatcher.core.payload import rfc3339
from dispatcher.core.signature import format_secret
from dispatcher.ports.system import Clock, Ids, Random
from dispatcher.settings import Settings

_NAME: Final = re.compile(r"[a-z0-9][a-z0-9._-]{0,99}")
_RESERVED: Final = frozenset({"dev", "dispatcher"})


class NameTaken(DispatcherError):
    """A caller of that name is there already."""


class NewCaller(Struct, frozen=True, kw_only=True, rename="camel"):
    """A caller as shown once, when it is made: the only place where key and secret are readable."""

    id: str
    name: str
    role: Role
    created_at: str | None
    key_id: str
    api_key: str
    secret: str


async def create_caller(
    opened: Opened, name: str, role: Role, *, clock: Clock, ids: Ids, random: Random
) -> NewCaller:
    """Add a caller with its first API key and signing secret.

    Raises `NameTaken`, or `StoreUnavailable`.
    """
    now = clock.now()
    caller = Caller(ids.new("clr"), name, now)
    text, digest = new_api_key(random)
    key = ApiKey(id=ids.new("key"), caller_id=caller.id, role=role, created_at=now)
    secret = random.token(SIGNING_SECRET_BYTES)
    sealed = opened.vault.seal(secret, caller.id)
    if not await opened.store.add_caller(caller, key, digest, sealed):
        raise NameTaken(f"a caller named {name!r} is there already: choose another name")
    return NewCaller(
        id=caller.id,
        name=name,
        role=role,
        created_at=rfc3339(now),
        key_id=key.id,
        api_key=text,
        secret=format_secret(secret),
    )


def _checked_name(_: click.Context, __: click.Parameter, name: str) -> str:
    if not _NAME.fullmatch(name):
        raise click.BadParameter("1 to 100 of a-z 0-9 . _ -, and the first is a letter or digit")
    if name in _RESERVED:
        raise click.BadParameter(f"{name!r} is the service's own (--dev acts as 'dev')")
    return name


@click.group("callers")
def callers_group() -> None:
    """Make callers with their API keys; safe beside a running service."""


@callers_group.command("create")
@click.argument("name", callback=_checked_name)
@click.option(
    "--role",
    type=click.Choice([role.value for role in Role]),
    default=Role.CALLER.value,
    show_default=True,
    help="What the key may do: submit jobs, do them over HTTP, or run the service.",
)
@with_store
@with_json
def create_command(
    name: str, role: str, config: Path | None, store: str | None, as_json: bool
) -> None:
    """Make a caller; its API key and signing secret are printed once."""
    settings = settings_of({"store": store}, config).settings
    made = asyncio.run(_create(settings, name, Role(role)))
    if as_json:
        print_json(made)
        return
    print(
        f"Caller {made.name} ({made.id}), role {made.role}\n\n"
        f"  API key  {made.api_key}\n"
        f"  secret   {made.secret}\n\n"
        "They are shown this once. Requests carry the API key as `Authorization: Bearer <API key>`"
        "\n(`dispatcher submit` takes it from DISPATCHER_API_KEY); receivers verify callbacks with "
        "the secret."
    )


async def _create(settings: Settings, name: str, role: Role) -> NewCaller:
    async with opened(settings) as both:
        return await create_caller(
            both, name, role, clock=SystemClock(), ids=Uuid7Ids(), random=SystemRandom()
        )
