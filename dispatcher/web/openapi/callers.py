"""`/v1/callers` and below, described."""

from __future__ import annotations

from typing import Annotated, Any, Final

from msgspec import Meta, Struct

from dispatcher.core.errors import NameTaken, NotFound, TooMany
from dispatcher.core.limits import Limits
from dispatcher.core.model import Role
from dispatcher.web.openapi.described import Answer, Body, Call, Operation
from dispatcher.web.openapi.shapes import (
    CALLER_ID,
    KEY_ID,
    TIME,
    CallerId,
    KeyId,
    NextCursor,
    Time,
    paging,
    path_id,
)
from dispatcher.web.wire import CallerBody, CallerChangeBody, KeyBody, RotationBody

_TAG: Final = "Callers"
_ID: Final = path_id("a caller", "clr", CALLER_ID)
_NO_CALLER: Final = NotFound("caller", "")
_ADVICE: Final = ""
_SECRET: Final = "whsec_RXhhbXBsZS1zZWNyZXQtMDEtRXhhbXBsZS1zZWNyZXQ="  # noqa: S105  # an example
_API_KEY: Final = "dsp_ZXhhbXBsZS1rZXktZXhhbXBsZS1rZXktZXhhbXBsZS0"

Secret = Annotated[str, Meta(pattern="^whsec_", description="Shown in this answer alone.")]
ApiKeyText = Annotated[str, Meta(pattern="^dsp_", description="Shown in this answer alone.")]


class Rate(Struct, frozen=True, kw_only=True, rename="camel"):
    """So many submissions in so many seconds."""

    requests: int
    window_seconds: int


class CallerLimits(Struct, frozen=True, kw_only=True, rename="camel"):
    """What is set for a caller; null: the service's own setting is in force."""

    rate: Rate | None
    jobs_waiting: int | None
    bytes_waiting: int | None
    body_bytes: int | None


class ApiKey(Struct, frozen=True, kw_only=True, rename="camel"):
    """An API key that is in force, without the key itself."""

    id: KeyId
    role: Role
    created_at: Time
    expires_at: Time | None


class SecretShown(Struct, frozen=True, kw_only=True, rename="camel"):
    """A signing secret that is in force, without the secret itself."""

    created_at: Time
    expires_at: Time | None


class Caller(Struct, frozen=True, kw_only=True, rename="camel"):
    """A program that submits jobs."""

    id: CallerId
    name: str
    created_at: Time
    keys: list[ApiKey]
    secrets: list[SecretShown]
    limits: CallerLimits
    schedule: list[float] | None


class CallerList(Struct, frozen=True, kw_only=True, rename="camel"):
    """A page of callers."""

    items: list[Caller]
    next_cursor: NextCursor


class NewApiKey(ApiKey, frozen=True, kw_only=True, rename="camel"):
    """A key that was made, with the key itself."""

    caller_id: CallerId
    api_key: ApiKeyText


class NewCaller(Struct, frozen=True, kw_only=True, rename="camel"):
    """A caller that was made, with its first key and its secret."""

    id: CallerId
    name: str
    created_at: Time
    key: NewApiKey
    secret: Secret


class NewSecret(Struct, frozen=True, kw_only=True, rename="camel"):
    """A signing secret that was made."""

    caller_id: CallerId
    secret: Secret
    created_at: Time
    others_sign_until: Annotated[
        Time | None, Meta(description="When the last of those before it ends; null: at once.")
    ]


_KEY: Final = ApiKey(id=KEY_ID, role=Role.CALLER, created_at=TIME, expires_at=None)
_CALLER: Final = Caller(
    id=CALLER_ID,
    name="shop",
    created_at=TIME,
    keys=[_KEY],
    secrets=[SecretShown(created_at=TIME, expires_at=None)],
    limits=CallerLimits(
        rate=Rate(requests=600, window_seconds=60),
        jobs_waiting=10_000,
        bytes_waiting=None,
        body_bytes=None,
    ),
    schedule=None,
)
_NEW_KEY: Final = NewApiKey(
    id=KEY_ID,
    role=Role.CALLER,
    created_at=TIME,
    expires_at=None,
    caller_id=CALLER_ID,
    api_key=_API_KEY,
)


def operations(limits: Limits) -> dict[Call, Operation]:
    """Every call of this resource."""
    return {
        ("GET", "/v1/callers"): Operation(
            id="listCallers",
            tag=_TAG,
            summary="List callers",
            description="Newest first, with the keys and secrets that are in force.",
            parameters=paging(limits),
            answers=(
                Answer(
                    status=200,
                    description="A page of callers.",
                    shape=CallerList,
                    headers=("Link",),
                    example={"items": [_CALLER], "nextCursor": None},
                ),
            ),
        ),
        ("POST", "/v1/callers"): _CREATE,
        ("GET", "/v1/callers/{id}"): Operation(
            id="getCaller",
            tag=_TAG,
            summary="A caller",
            parameters=(_ID,),
            answers=(_caller("The caller."),),
            problems=(_NO_CALLER,),
        ),
        ("PATCH", "/v1/callers/{id}"): Operation(
            id="changeCaller",
            tag=_TAG,
            summary="Set a caller's limits and schedule",
            description=(
                "What is left out stays as it is; null takes it away, and then the service's own "
                "setting is in force."
            ),
            parameters=(_ID,),
            body=Body(
                shape=CallerChangeBody,
                examples={
                    "A rate": {"limits": {"rate": {"requests": 600, "windowSeconds": 60}}},
                    "No schedule of its own any more": {"schedule": None},
                },
            ),
            answers=(_caller("The caller as it is now."),),
            problems=(_NO_CALLER,),
        ),
        ("POST", "/v1/callers/{id}/keys"): _ADD_KEY,
        ("DELETE", "/v1/callers/{id}/keys/{keyId}"): Operation(
            id="revokeKey",
            tag=_TAG,
            summary="Revoke an API key",
            description="Idempotent. Behind PgBouncer it may work for up to five seconds more.",
            parameters=(_ID, path_id("a key", "key", KEY_ID, "keyId")),
            takes_no_body=True,
            answers=(Answer(status=204, description="It is revoked, now or before."),),
            problems=(_NO_CALLER, NotFound("key", "")),
        ),
        ("POST", "/v1/callers/{id}/rotate-secret"): _ROTATE,
    }


def _caller(description: str) -> Answer:
    return Answer(status=200, description=description, shape=Caller, example=_CALLER)


def _once(status: int, description: str, shape: Any, example: Any) -> Answer:
    return Answer(
        status=status,
        description=description,
        shape=shape,
        headers=("Cache-Control",),
        example=example,
    )


_CREATE: Final = Operation(
    id="createCaller",
    tag=_TAG,
    summary="Make a caller",
    description="With its first API key and its signing secret, both shown in this answer alone.",
    body=Body(
        shape=CallerBody,
        examples={"A caller": {"name": "shop"}, "An operator": {"name": "ops", "role": "operator"}},
    ),
    answers=(
        _once(
            201,
            "It is made.",
            NewCaller,
            NewCaller(id=CALLER_ID, name="shop", created_at=TIME, key=_NEW_KEY, secret=_SECRET),
        ),
    ),
    problems=(NameTaken,),
)
_ADD_KEY: Final = Operation(
    id="addKey",
    tag=_TAG,
    summary="Make an API key",
    description="For a caller that is there. At most 100 may be in force.",
    parameters=(_ID,),
    body=Body(
        shape=KeyBody,
        examples={
            "For good": {"role": "caller"},
            "For a time": {"role": "caller", "expiresAt": "2035-01-31T09:30:00Z"},
        },
    ),
    answers=(_once(201, "It is made.", NewApiKey, _NEW_KEY),),
    problems=(_NO_CALLER, TooMany("key", 0, _ADVICE)),
)
_ROTATE: Final = Operation(
    id="rotateSecret",
    tag=_TAG,
    summary="Give a caller a new signing secret",
    description="Those that are there go on signing beside it for a while: a day, unless said.",
    parameters=(_ID,),
    body=Body(
        shape=RotationBody,
        required=False,
        examples={"Over two days": {"overlapSeconds": 172_800}, "At once": {"overlapSeconds": 0}},
    ),
    answers=(
        _once(
            200,
            "The new secret.",
            NewSecret,
            NewSecret(
                caller_id=CALLER_ID,
                secret=_SECRET,
                created_at=TIME,
                others_sign_until="2026-02-01T09:30:00.123Z",
            ),
        ),
    ),
    problems=(_NO_CALLER, TooMany("secret", 0, _ADVICE)),
)
