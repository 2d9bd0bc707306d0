"""Types and parameters that several resources speak of."""

from __future__ import annotations

from typing import Annotated, Any, Final, TypeAlias

from msgspec import Meta

from dispatcher.core.limits import ANY_PAGE_ITEMS, Limits
from dispatcher.web.openapi.described import Parameter, Schema
from dispatcher.web.wire import NAME_PATTERN

JOB_ID: Final = "job_01a1fb520fb3706483d8062c1fd47d51"
EVENT_ID: Final = "evt_01a1fb520fb47024af170cbe07cd2542"
DELIVERY_ID: Final = "dlv_01a1fb520fb571c6815326056fb0f3d3"
CALLER_ID: Final = "clr_01a1fb51e1d2776cb7dbf29c0a4b8e67"
KEY_ID: Final = "key_01a1fb51e1d37b3f8e0a7c5d92b4f681"
TIME: Final = "2026-01-31T09:30:00.123Z"


def _id(prefix: str, example: str) -> Meta:
    return Meta(pattern=f"^{prefix}_[0-9a-f]{{32}}$", examples=[example])


JobId: TypeAlias = Annotated[str, _id("job", JOB_ID)]
EventId: TypeAlias = Annotated[str, _id("evt", EVENT_ID)]
DeliveryId: TypeAlias = Annotated[str, _id("dlv", DELIVERY_ID)]
CallerId: TypeAlias = Annotated[str, _id("clr", CALLER_ID)]
KeyId: TypeAlias = Annotated[str, _id("key", KEY_ID)]
Time: TypeAlias = Annotated[str, Meta(extra_json_schema={"format": "date-time"})]
Url: TypeAlias = Annotated[str, Meta(extra_json_schema={"format": "uri"})]
CallbackUrl: TypeAlias = Annotated[str, Meta(description="A URL as browsers read it (WHATWG).")]
Count: TypeAlias = Annotated[int, Meta(ge=0)]
NextCursor: TypeAlias = Annotated[
    str | None,
    Meta(description="What to send as `cursor` for the next page; null: this was the last."),
]


def path_id(what: str, prefix: str, example: str, name: str = "id") -> Parameter:
    """An id in the path."""
    return Parameter(
        name=name,
        place="path",
        description=f"The id of {what}.",
        schema={"type": "string", "pattern": f"^{prefix}_[0-9a-f]{{32}}$"},
        example=example,
    )


def of_caller(description: str, name: str = "callerId") -> Parameter:
    """A caller's id in the query."""
    return Parameter(
        name=name,
        description=description,
        schema={"type": "string", "pattern": "^clr_[0-9a-f]{32}$"},
    )


def time(name: str, description: str) -> Parameter:
    """An instant in the query."""
    return Parameter(
        name=name,
        description=f"{description} An RFC 3339 time; write `+` as `%2B`.",
        schema={"type": "string", "format": "date-time"},
        example=TIME,
    )


def words(name: str, description: str, allowed: Any) -> Parameter:
    """One of the words of an enum in the query."""
    return Parameter(
        name=name,
        description=description,
        schema={"type": "string", "enum": [str(each) for each in allowed]},
    )


def name_of(name: str, what: str) -> Parameter:
    """The name of a type or queue in the query."""
    return Parameter(
        name=name, description=f"Of that {what} alone.", schema={"type": "string"} | NAME
    )


NAME: Final[Schema] = {"pattern": NAME_PATTERN.removesuffix(r"(?!\n)"), "maxLength": 100}


def visible(limits: Limits) -> Schema:
    """A text of visible ASCII."""
    return {
        "type": "string",
        "minLength": 1,
        "maxLength": limits.text_characters,
        "pattern": "^[!-~]+$",
    }


def prefer(example: str, description: str) -> Parameter:
    """`Prefer`, which holds an answer."""
    return Parameter(
        name="Prefer",
        place="header",
        description=f"`wait=N` (RFC 7240): {description} N seconds at most, and 50.",
        schema={"type": "string"},
        example=example,
    )


def paging(limits: Limits) -> tuple[Parameter, Parameter]:
    """The parameters of every list."""
    return (
        Parameter(
            name="limit",
            description="How many items at most.",
            schema={
                "type": "integer",
                "minimum": 1,
                "maximum": max(limits.page_items, ANY_PAGE_ITEMS),
                "default": limits.default_page_items,
            },
        ),
        Parameter(
            name="cursor",
            description="Where to go on: `nextCursor` of the page before, as it was given.",
            schema={"type": "string", "pattern": "^[A-Za-z0-9_-]+$"},
        ),
    )


def created(what: str) -> tuple[Parameter, Parameter]:
    """`createdAfter` and `createdBefore`."""
    return (
        time("createdAfter", f"Of {what} made after it."),
        time("createdBefore", f"Of {what} made before it."),
    )
