"""Queues that the settings say something of: `[queues."name"]`. Others need no declaration."""

from __future__ import annotations

from typing import Annotated, Final

import msgspec
from msgspec import Meta, Struct

from dispatcher.core.errors import SettingsError
from dispatcher.settings.types import check_name


class DeclaredQueue(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is said of a queue."""

    name: str
    concurrency: Annotated[
        int,
        Meta(
            ge=1,
            le=1_000_000,
            description="How many of its jobs run at once at most, of all callers, types, "
            "processes and remote workers together.",
        ),
    ]


_KEYS: Final = ("concurrency",)


def parse_queues(found: object, source: str) -> tuple[DeclaredQueue, ...]:
    """The queues of the table `queues` of a file, by name.

    Raises:
        SettingsError: one can't stand; the message says which, and what to change.
    """
    if not isinstance(found, dict) or not all(isinstance(each, dict) for each in found.values()):
        raise SettingsError(f'{source}: queues are tables: [queues."reports"]')
    queues = []
    for name in sorted(found):
        check_name(f"{source}: the queue", name)
        where = f"{source}: the queue {name!r}"
        unknown = found[name].keys() - set(_KEYS)
        if unknown:
            raise SettingsError(f"{where} has no {min(unknown)!r}; there is {', '.join(_KEYS)}")
        try:
            queues.append(msgspec.convert({**found[name], "name": name}, DeclaredQueue))
        except msgspec.ValidationError as error:
            raise SettingsError(f"{where}: {error}") from None
    return tuple(queues)
