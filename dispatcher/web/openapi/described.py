"""The words that calls are described with.

Bodies that come in are described by the types that parse them (`web/wire.py`), answers by the types
beside their description; tests compare those with real answers.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, Literal, TypeAlias

from msgspec import Struct

Call: TypeAlias = tuple[str, str]
"""A method and the path of a route, as `web/app.py` has them."""

Schema: TypeAlias = dict[str, Any]

Refusal: TypeAlias = type[Exception] | Exception | tuple[int, str]
"""An error of the table in `web/problems.py`: an instance where its code depends on what is said, a
status and a code where a handler makes the problem itself."""


class Parameter(Struct, frozen=True, kw_only=True):
    """A query, path or header parameter."""

    name: str
    description: str
    schema: Schema
    place: Literal["query", "path", "header"] = "query"
    example: Any = None


class Answer(Struct, frozen=True, kw_only=True):
    """An answer that is no problem.

    - `shape`: the type of its JSON, or a schema; None: it has no body.
    - `streams`: it can be had as Server-Sent Events, too.
    - `headers`: names of `headers.HEADERS`, besides those that every answer has.
    - `links`: calls that go on from it: a name, the operation, and what its `id` is.
    """

    status: int
    description: str
    shape: Any = None
    media: str = "application/json"
    streams: bool = False
    headers: tuple[str, ...] = ()
    example: Any = None
    links: tuple[tuple[str, str, str], ...] = ()


class Body(Struct, frozen=True, kw_only=True):
    """What a call takes: `shape` is the type that parses it, `examples` are by their title."""

    shape: Any
    examples: Mapping[str, Any]
    required: bool = True


class Operation(Struct, frozen=True, kw_only=True):
    """One call.

    `problems` are those besides what every call of its kind can be answered with: see `problems`.
    """

    id: str
    tag: str
    summary: str
    answers: tuple[Answer, ...]
    description: str = ""
    body: Body | None = None
    takes_no_body: bool = False
    parameters: tuple[Parameter, ...] = ()
    problems: tuple[Refusal, ...] = ()
    sends_callbacks: bool = False


TAGS: Final[dict[str, str]] = {
    "Jobs": "Submit work and hear what came of it.",
    "Events": "What happens to jobs, for who can't receive callbacks.",
    "Deliveries": "How callbacks fare: one event's way to one URL.",
    "Endpoints": "Callback URLs that a caller registers for the events of all of its jobs.",
    "Callers": "Who may use the service, and what their callbacks are signed with. For operators.",
    "Operators": "Looking after the service.",
    "Workers": "Do jobs from outside, in any language: lease them, and say what came of them.",
    "Service": "Health, keys and this description. They need no API key.",
    "Development": "What is there with `--dev` alone.",
}
"""The groups of calls, in the order in which they are shown."""
