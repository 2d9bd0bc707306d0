"""`dispatcher callers`: who may use the service, changed in the store itself."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Final

import click
from msgspec import Struct

from dispatcher.adapters.system import SystemClock
from dispatcher.cli.caller_limits import limits_command, lines_of
from dispatcher.cli.caller_store import callers_of, with_caller
from dispatcher.cli.opening import tell_made_new
from dispatcher.cli.options import print_json, settings_of, with_json, with_overlap, with_store
from dispatcher.core.audit import CLI
from dispatcher.core.errors import DispatcherError, NotFound
from dispatcher.core.model import Caller, Instant, Role
from dispatcher.core.payload import rfc3339
from dispatcher.core.submission import TIME_EXAMPLE, parse_rfc3339
from dispatcher.engine.callers import (
    RESERVED_NAMES,
    Callers,
    CreatedCaller,
    CreatedKey,
    RotatedSecret,
    terms_json,
)
from dispatcher.ports.records import CallerRecord
from dispatcher.settings import Settings

_NAME: Final = re.compile(r"[a-z0-9][a-z0-9._-]{0,99}")
_PAGE: Final = 100


class UnknownKey(DispatcherError):
    """The caller has no such key."""


class ShownCaller(Struct, frozen=True, kw_only=True, rename="camel"):
    """A caller as shown once, when it is made: the only place where key and secret are readable."""

    id: str
    name: str
    role: Role
    created_at: str | None
    key_id: str
    api_key: str
    secret: str


class ShownKey(Struct, frozen=True, kw_only=True, rename="camel"):
    """An API key; `api_key` is there only when it is made."""

    id: str
    role: Role
    created_at: str | None
    expires_at: str | None
    api_key: str | None = None


class ShownSecret(Struct, frozen=True, kw_only=True, rename="camel"):
    """When a signing secret began and when it ends."""

    created_at: str | None
    expires_at: str | None


class ListedCaller(Struct, frozen=True, kw_only=True, rename="camel"):
    """A caller in the list, with its keys and secrets in force."""

    id: str
    name: str
    created_at: str | None
    keys: list[ShownKey]
    secrets: list[ShownSecret]
    limits: dict[str, Any]
    schedule: list[float] | None


class ShownRotation(Struct, frozen=True, kw_only=True, rename="camel"):
    """A new signing secret, shown once."""

    caller_id: str
    secret: str
    others_sign_until: str | None


@click.group("callers")
def callers_group() -> None:
    """Make callers with their API keys, and change those; safe beside a running service.

    A running service notices what was changed within a few seconds.
    """


callers_group.add_command(limits_command)


# --- create, list ------------------------------------------------------------------------------


def _checked_name(_: click.Context, __: click.Parameter, name: str) -> str:
    if not _NAME.fullmatch(name):
        raise click.BadParameter("1 to 100 of a-z 0-9 . _ -, and the first is a letter or digit")
    if name in RESERVED_NAMES:
        raise click.BadParameter(f"{name!r} is the service's own (--dev acts as 'dev')")
    return name


def _with_role(command: Callable[..., None]) -> Callable[..., None]:
    return click.option(
        "--role",
        type=click.Choice([role.value for role in Role]),
        default=Role.CALLER.value,
        show_default=True,
        help="What the key may do: submit jobs, do them over HTTP, or run the service.",
    )(command)


@callers_group.command("create")
@click.argument("name", callback=_checked_name)
@_with_role
@with_store
@with_json
def create_command(
    name: str, role: str, config: Path | None, store: str | None, as_json: bool
) -> None:
    """Make a caller; its API key and signing secret are printed once."""
    settings = settings_of({"store": store}, config).settings
    fresh = settings.on_sqlite and not settings.database.exists()
    made = asyncio.run(_create(settings, name, Role(role)))
    caller, created = made.caller, made.created
    if as_json:
        print_json(
            ShownCaller(
                id=caller.id,
                name=caller.name,
                role=created.key.role,
                created_at=rfc3339(caller.created_at),
                key_id=created.key.id,
                api_key=created.text,
                secret=made.secret,
            )
        )
        return
    print(
        f"Caller {caller.name} ({caller.id}), role {created.key.role}\n\n"
        f"  API key  {created.text}\n"
        f"  secret   {made.secret}\n\n"
        "They are shown this once. Requests carry the API key as `Authorization: Bearer <API key>`"
        "\n(`dispatcher submit` takes it from DISPATCHER_API_KEY); receivers verify callbacks with "
        "the secret."
    )
    if fresh:
        tell_made_new(settings)


async def _create(settings: Settings, name: str, role: Role) -> CreatedCaller:
    async with callers_of(settings, make=True) as (_, callers):
        return await callers.create(name, role, CLI)


@callers_group.command("list")
@with_store
@with_json
def list_command(config: Path | None, store: str | None, as_json: bool) -> None:
    """Show the callers, newest first, with their keys and secrets in force."""
    settings = settings_of({"store": store}, config).settings
    listed = [_listed(record) for record in asyncio.run(_list(settings))]
    if as_json:
        print_json({"items": listed})
        return
    for each in listed:
        print(f"{each.name} ({each.id}), made {each.created_at}")
        for key in each.keys:
            ends = f", until {key.expires_at}" if key.expires_at else ""
            print(f"  key     {key.id}  {key.role}, made {key.created_at}{ends}")
        for secret in each.secrets:
            ends = f", signs until {secret.expires_at}" if secret.expires_at else ""
            print(f"  secret  made {secret.created_at}{ends}")
        for line in lines_of(each.limits, each.schedule):
            print(f"  {line}")


async def _list(settings: Settings) -> list[CallerRecord]:
    found: list[CallerRecord] = []
    async with callers_of(settings) as (store, _):
        before = None
        while True:
            page = await store.list_callers(limit=_PAGE, before=before)
            found += page.items
            before = page.next
            if before is None:
                return found


def _listed(record: CallerRecord) -> ListedCaller:
    return ListedCaller(
        id=record.caller.id,
        name=record.caller.name,
        created_at=rfc3339(record.caller.created_at),
        keys=[
            ShownKey(
                id=key.id,
                role=key.role,
                created_at=rfc3339(key.created_at),
                expires_at=rfc3339(key.expires_at),
            )
            for key in record.keys
        ],
        secrets=[
            ShownSecret(created_at=rfc3339(each.created_at), expires_at=rfc3339(each.expires_at))
            for each in record.secrets
        ],
        **terms_json(record.caller.terms),
    )


# --- the secret --------------------------------------------------------------------------------


@callers_group.command("rotate-secret")
@click.argument("caller")
@with_overlap("secrets there are")
@with_store
@with_json
def rotate_secret_command(
    caller: str, overlap: int, config: Path | None, store: str | None, as_json: bool
) -> None:
    """Give a caller (its name or id) a new signing secret, printed once.

    Until the overlap ends callbacks bear a signature of each, so that receivers can change over.
    """
    settings = settings_of({"store": store}, config).settings

    def rotate(callers: Callers, known: Caller) -> Awaitable[RotatedSecret]:
        return callers.rotate_secret(known.id, CLI, overlap_seconds=overlap)

    made = asyncio.run(with_caller(settings, caller, rotate))
    until = rfc3339(made.others_until)
    if as_json:
        print_json(
            ShownRotation(caller_id=made.caller.id, secret=made.secret, others_sign_until=until)
        )
        return
    print(
        f"Caller {made.caller.name} ({made.caller.id})\n\n"
        f"  secret   {made.secret}\n\n"
        f"It is shown this once. What was in force before signs beside it until {until}."
    )


# --- keys --------------------------------------------------------------------------------------


@callers_group.group("keys")
def keys_group() -> None:
    """Make and revoke a caller's API keys."""


def _checked_time(_: click.Context, __: click.Parameter, text: str | None) -> Instant | None:
    if text is None:
        return None
    instant = parse_rfc3339(text)
    if instant is None or instant <= SystemClock().now():
        raise click.BadParameter(f"{TIME_EXAMPLE}, and it must lie ahead")
    return instant


@keys_group.command("create")
@click.argument("caller")
@_with_role
@click.option("--expires", metavar="TIME", callback=_checked_time, help="Refused from then on.")
@with_store
@with_json
def create_key_command(
    caller: str,
    *,
    role: str,
    expires: Instant | None,
    config: Path | None,
    store: str | None,
    as_json: bool,
) -> None:
    """Make one more API key for a caller (its name or id), printed once."""
    settings = settings_of({"store": store}, config).settings

    def create(callers: Callers, known: Caller) -> Awaitable[CreatedKey]:
        return callers.add_key(known.id, Role(role), CLI, expires_at=expires)

    made = asyncio.run(with_caller(settings, caller, create))
    key = made.key
    if as_json:
        print_json(
            ShownKey(
                id=key.id,
                role=key.role,
                created_at=rfc3339(key.created_at),
                expires_at=rfc3339(key.expires_at),
                api_key=made.text,
            )
        )
        return
    ends = "" if key.expires_at is None else f", until {rfc3339(key.expires_at)}"
    print(
        f"Key {key.id}, role {key.role}{ends}\n\n  API key  {made.text}\n\nIt is shown this once."
    )


@keys_group.command("revoke")
@click.argument("caller")
@click.argument("key_id", metavar="KEY_ID")
@with_store
@with_json
def revoke_key_command(
    caller: str, key_id: str, config: Path | None, store: str | None, as_json: bool
) -> None:
    """Revoke an API key of a caller (its name or id); a running service refuses it in seconds."""
    settings = settings_of({"store": store}, config).settings

    async def revoke(callers: Callers, known: Caller) -> None:
        try:
            await callers.revoke_key(known.id, key_id, CLI)
        except NotFound:
            raise UnknownKey(
                f"{known.name} has no key {key_id!r}: `dispatcher callers list` shows those it has"
            ) from None

    asyncio.run(with_caller(settings, caller, revoke))
    if as_json:
        print_json({"id": key_id, "revoked": True})
    else:
        print(f"Key {key_id} is revoked.")
