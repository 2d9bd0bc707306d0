"""Runners for the types that are declared in the settings."""

from __future__ import annotations

import shutil
from collections.abc import Iterable

from dispatcher.adapters.runners.command import CommandRunner, CommandTerms
from dispatcher.adapters.runners.http import HttpRunner, HttpTerms, Signs
from dispatcher.adapters.runners.processes import Children
from dispatcher.core.errors import SettingsError
from dispatcher.core.model import JobType
from dispatcher.core.retry import DEFAULT_JOB_BACKOFF, JobBackoff
from dispatcher.engine.leases import RemoteKind
from dispatcher.ports.runner import Runner
from dispatcher.ports.system import Clock
from dispatcher.settings import CommandType, DeclaredType, HttpType, RemoteType


def declared_runners(
    types: Iterable[DeclaredType],
    *,
    children: Children,
    signs: Signs,
    clock: Clock,
    connect_seconds: float,
    user_agent: str,
) -> dict[str, Runner]:
    """A runner for each declared type, by its name.

    Raises:
        SettingsError: a command is not there, or a URL or a schema can't be used.
    """
    found: dict[str, Runner] = {}
    for each in types:
        own, backoff = job_type(each), _backoff(each)
        match each:
            case CommandType():
                terms = CommandTerms(
                    command=each.command,
                    environment=each.environment,
                    result_bytes=each.result_bytes,
                )
                if (missing := missing_program(each)) is not None:
                    raise SettingsError(missing)
                found[each.name] = CommandRunner(own, backoff, terms, children)
            case HttpType():
                http = HttpTerms(
                    url=each.url,
                    safe_to_repeat=each.safe_to_repeat,
                    result_bytes=each.result_bytes,
                    connect_seconds=connect_seconds,
                    user_agent=user_agent,
                )
                found[each.name] = HttpRunner(own, backoff, http, signs, clock)
            case RemoteType():
                pass  # done elsewhere: nothing of it runs here
            case _:
                raise AssertionError(f"no runner is made for {type(each).__name__}")
    return found


def job_type(declared: DeclaredType) -> JobType:
    """The type as the service knows it; raises `SettingsError` if its schema can't be read."""
    return JobType(
        name=declared.name,
        runner=str(type(declared).__struct_config__.tag),
        description=declared.description,
        queue=declared.queue,
        timeout_seconds=declared.timeout_seconds,
        max_timeout_seconds=declared.max_timeout_seconds,
        max_attempts=declared.max_attempts,
        most_attempts=declared.most_attempts,
        concurrency=(
            declared.concurrency
            if isinstance(declared, CommandType | HttpType | RemoteType)
            else None
        ),
        schema=declared.read_schema(),
        result_schema=(declared.read_result_schema() if isinstance(declared, RemoteType) else None),
    )


def remote_kinds(types: Iterable[DeclaredType]) -> dict[str, RemoteKind]:
    """What remote workers do, by the name of the type."""
    return {
        each.name: RemoteKind(_backoff(each), each.result_bytes)
        for each in types
        if isinstance(each, RemoteType)
    }


def _backoff(declared: DeclaredType) -> JobBackoff:
    first = declared.backoff_seconds
    return JobBackoff(first_seconds=first, max_seconds=max(first, DEFAULT_JOB_BACKOFF.max_seconds))


def missing_program(declared: CommandType) -> str | None:
    """What to say if the command's program is not there; None: it is."""
    program = declared.command[0]
    if shutil.which(program, path=declared.environment.get("PATH")) is not None:
        return None
    return (
        f"the type {declared.name!r}: there is no program {program!r} that can be run: install it, "
        "or name it with its path"
    )
