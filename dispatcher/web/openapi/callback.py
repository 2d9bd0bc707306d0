"""What is POSTed to a `callbackUrl`, described."""

from __future__ import annotations

from typing import Any, Final

from dispatcher.web.openapi.jobs_shown import ENDED, Event
from dispatcher.web.openapi.shapes import EVENT_ID

__all__ = ["CALLBACKS", "Event"]


def _header(name: str, description: str, example: str, *, always: bool = True) -> dict[str, Any]:
    return {
        "name": name,
        "in": "header",
        "required": always,
        "description": description,
        "schema": {"type": "string"},
        "example": example,
    }


CALLBACKS: Final[dict[str, Any]] = {
    "event": {
        "{$request.body#/callbackUrl}": {
            "post": {
                "operationId": "receiveEvent",
                "summary": "An event of the job",
                "description": (
                    "Sent by this service to yours. Verify the signature over "
                    "`webhook-id.webhook-timestamp.body` (the bytes as they came), keep it, answer "
                    "with a 2xx within 15 seconds, and do the rest afterwards."
                ),
                "security": [],
                "parameters": [
                    _header("webhook-id", "The same at every attempt.", EVENT_ID),
                    _header("webhook-timestamp", "Seconds, of this attempt.", "1769851800"),
                    _header(
                        "webhook-signature",
                        "`v1,` and HMAC-SHA256 by your secret, then `v1a,` and Ed25519 by the "
                        "service's key: base64, one for each in force, single spaces between.",
                        "v1,RA9kGgSB6/Np4Y8y69Z+jV9/JH4bhP+V2yqnFXdHbag=",
                    ),
                    _header("callback-attempt", "From 1.", "1"),
                    _header("user-agent", "Who sends it.", "dispatcher/0.1.0"),
                    _header("correlation-id", "As submitted.", "order-4711", always=False),
                    _header(
                        "traceparent",
                        "As submitted.",
                        "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
                        always=False,
                    ),
                    _header("tracestate", "As submitted.", "vendor=value", always=False),
                ],
                "requestBody": {
                    "required": True,
                    "content": {
                        "application/json": {
                            "schema": {"$ref": "#/components/schemas/Event"},
                            "examples": {"It succeeded": {"value": ENDED}},
                        }
                    },
                },
                "responses": {
                    "2XX": {"description": "It has landed and is not sent again."},
                    "410": {"description": "It ends here: it is not tried again."},
                    "429": {"description": "Tried again, not before its `Retry-After`."},
                    "503": {"description": "Tried again, not before its `Retry-After`."},
                    "default": {"description": "Tried again later; redirects are not followed."},
                },
            }
        }
    }
}
"""By the expression that names their URL: `callbacks` of the submission."""
