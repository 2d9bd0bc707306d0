"""What needs no key, described: health, public keys, metrics, this description; and `--dev`."""

from __future__ import annotations

from typing import Annotated, Any, Final

from msgspec import Meta, Struct

from dispatcher.core.errors import MalformedBody, Overloaded, Stopping
from dispatcher.core.limits import Limits
from dispatcher.web.openapi.described import Answer, Call, Operation, Parameter
from dispatcher.web.openapi.jobs_shown import ENDED
from dispatcher.web.openapi.shapes import TIME, Time
from dispatcher.web.refusals import BodyTooLarge, BodyTooSlow, MetricsApart

_TAG: Final = "Service"
_TEXT: Final = {"type": "string"}


class Health(Struct, frozen=True, kw_only=True, rename="camel"):
    """How the service is."""

    status: Annotated[str, Meta(description="`ok`, or `ready`.")]


class Jwk(Struct, frozen=True, kw_only=True):
    """A public key of the service (RFC 8037)."""

    kty: str
    crv: str
    x: Annotated[str, Meta(description="The key, 32 bytes in base64url.")]
    kid: Annotated[str, Meta(description="Its thumbprint (RFC 7638).")]
    use: str
    alg: str
    whpk: Annotated[str, Meta(description="The same key as Standard Webhooks write it.")]


class JwkSet(Struct, frozen=True, kw_only=True):
    """The public keys of the service, newest first; all of them sign."""

    keys: list[Jwk]


class Inboxed(Struct, frozen=True, kw_only=True, rename="camel"):
    """A request that came to the inbox."""

    received_at: Time
    verified: bool
    reason: Annotated[str | None, Meta(description="Why it can't be trusted.")]
    headers: dict[str, str]
    body: Annotated[Any, Meta(description="As JSON if it is that, else as a text.")]


class Inbox(Struct, frozen=True, kw_only=True, rename="camel"):
    """The last requests that came, newest first."""

    items: list[Inboxed]


_JWKS: Final = {
    "keys": [
        {
            "kty": "OKP",
            "crv": "Ed25519",
            "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo",
            "kid": "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k",
            "use": "sig",
            "alg": "Ed25519",
            "whpk": "whpk_11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=",
        }
    ]
}


def operations(limits: Limits) -> dict[Call, Operation]:  # noqa: ARG001  # as every module's
    """Every call of these."""
    return {
        ("GET", "/healthz"): _health("isAlive", "Whether the process answers", "ok"),
        ("GET", "/readyz"): _health("isReady", "Whether a job would be accepted now", "ready"),
        ("GET", "/.well-known/jwks.json"): Operation(
            id="getPublicKeys",
            tag=_TAG,
            summary="The service's public keys",
            description="`v1a` signatures of callbacks are verified with them.",
            answers=(
                Answer(
                    status=200,
                    description="A JWK set (RFC 7517).",
                    media="application/jwk-set+json",
                    shape=JwkSet,
                    headers=("Cache-Control",),
                    example=_JWKS,
                ),
            ),
        ),
        ("GET", "/metrics"): Operation(
            id="getMetrics",
            tag=_TAG,
            summary="Metrics",
            answers=(
                Answer(
                    status=200,
                    description="In the text format of Prometheus.",
                    media="text/plain",
                    shape=_TEXT,
                    headers=("Cache-Control",),
                ),
            ),
            problems=(MetricsApart,),
        ),
        ("GET", "/openapi.json"): _description(
            "getOpenApi", "This document", "application/json", {"type": "object"}
        ),
        ("GET", "/docs"): _description("getDocs", "This document as a page", "text/html", _TEXT),
        ("POST", "/dev/inbox"): _RECEIVE,
        ("GET", "/dev/inbox"): _LOOK,
    }


def _health(name: str, summary: str, word: str) -> Operation:
    return Operation(
        id=name,
        tag=_TAG,
        summary=summary,
        answers=(
            Answer(
                status=200,
                description="It is so.",
                shape=Health,
                headers=("Cache-Control",),
                example=Health(status=word),
            ),
        ),
        problems=(Stopping,) if word == "ready" else (),
    )


def _description(name: str, summary: str, media: str, shape: Any) -> Operation:
    return Operation(
        id=name,
        tag=_TAG,
        summary=summary,
        parameters=(
            Parameter(
                name="If-None-Match",
                place="header",
                description="The `ETag` that you know.",
                schema=_TEXT,
            ),
        ),
        answers=(
            Answer(
                status=200,
                description="It tells what is served here, its types of job included.",
                media=media,
                shape=shape,
                headers=("ETag", "Cache-Control"),
            ),
            Answer(
                status=304, description="It is as you know it.", headers=("ETag", "Cache-Control")
            ),
        ),
    )


_RECEIVE: Final = Operation(
    id="receiveInInbox",
    tag="Development",
    summary="A receiver to try callbacks with",
    description="Give its URL as `callbackUrl`. What is POSTed to it is verified and kept a while.",
    answers=(Answer(status=204, description="The signature holds."),),
    problems=(BodyTooLarge, BodyTooSlow, MalformedBody, Overloaded, (401, "unverified")),
)
_LOOK: Final = Operation(
    id="getInbox",
    tag="Development",
    summary="What came to the inbox",
    answers=(
        Answer(
            status=200,
            description="The last 100.",
            shape=Inbox,
            example=Inbox(
                items=[
                    Inboxed(
                        received_at=TIME,
                        verified=True,
                        reason=None,
                        headers={"webhook-id": ENDED["id"]},
                        body={"type": "job.succeeded"},
                    )
                ]
            ),
        ),
    ),
)
