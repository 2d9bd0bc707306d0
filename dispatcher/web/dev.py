"""`--dev`: who may call without a key, and an inbox that shows the callbacks that come in."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Mapping
from ipaddress import ip_address
from typing import Any, Final

import msgspec
from aiohttp import web
from msgspec import Raw, Struct
from multidict import CIMultiDictProxy

from dispatcher.core.errors import Forbidden
from dispatcher.core.model import Instant
from dispatcher.core.payload import encode, rfc3339
from dispatcher.core.signature import VerificationError, verify
from dispatcher.web.body import read_bytes
from dispatcher.web.problems import problem
from dispatcher.web.queries import read_query
from dispatcher.web.services import DevMode, Services

# --- The guard ---------------------------------------------------------------------------------

_HOST: Final = re.compile(r"(?P<name>\[[0-9a-fA-F:.]+\]|[^:\[\]]+)(?::[0-9]{0,5})?")
# What a browser says of a page of this very origin, or of an address typed in (Fetch Metadata).
_OWN_SITES: Final = frozenset({"same-origin", "none"})


def check_local(headers: CIMultiDictProxy[str]) -> None:
    """Pass a request without a key only if nothing says that it comes from elsewhere.

    Tunnels, proxies, web pages and DNS rebinding all reach the port over loopback; what gives them
    away is a `Host` that is not loopback, a header of forwarding, or a foreign `Origin` or
    `Sec-Fetch-Site`.

    Raises:
        Forbidden: with what gave it away and what to do.
    """
    hosts = headers.getall("Host", [])
    if len(hosts) != 1 or not _is_loopback(hosts[0]):
        raise _foreign("its Host is not loopback")
    for name in headers:
        lowered = name.lower()
        if lowered == "forwarded" or lowered.startswith("x-forwarded-"):
            raise _foreign(f"it was forwarded ({name})")
    for origin in headers.getall("Origin", ()):
        if origin.lower() != f"http://{hosts[0].lower()}":
            raise _foreign("its Origin is another one's")
    for site in headers.getall("Sec-Fetch-Site", ()):
        if site.lower() not in _OWN_SITES:
            raise _foreign("its Sec-Fetch-Site is foreign")


def _foreign(why: str) -> Forbidden:
    return Forbidden(
        "--dev takes requests without an API key from this machine only, and of this one "
        f"{why}. Make a key with `dispatcher callers create NAME` and send it as "
        "Authorization: Bearer."
    )


def _is_loopback(host: str) -> bool:
    """Whether a Host field names this machine: `localhost`, 127.0.0.0/8 or [::1]."""
    match = _HOST.fullmatch(host.strip())
    if match is None:
        return False
    name = match["name"].lower()
    if name == "localhost":
        return True
    try:
        return ip_address(name.strip("[]")).is_loopback
    except ValueError:
        return False


# --- The inbox ---------------------------------------------------------------------------------

_KEPT_ITEMS: Final = 100
_KEPT_BYTES: Final = 16 * 1_048_576


class _Item(Struct, frozen=True):
    """A request that came: with its verdict, None if it could be trusted."""

    at: Instant
    refused: str | None
    headers: Mapping[str, str]
    body: bytes


class Inbox:
    """A receiver at `/dev/inbox` that verifies what is POSTed to it and shows it.

    In memory alone, the last 100 and at most 16 MiB of them: it is there to look at while trying
    things out, and gone with the process.
    """

    def __init__(self, services: Services, dev: DevMode) -> None:
        self._services = services
        self._secrets = (dev.secret,)
        self._items: deque[_Item] = deque()
        self._bytes = 0

    async def receive(self, request: web.Request) -> web.Response:
        """`POST`: 204 if the signature holds, else 401; shown in either case."""
        # A callback may carry an Authorization of its own: it is none of ours, and not looked at.
        check_local(request.headers)
        read_query(request)
        body = await read_bytes(request, self._services.limits.body_bytes)
        now = self._services.clock.now()
        try:
            verify(self._secrets, request.headers, body, now=now)
            refused = None
        except VerificationError as error:
            refused = f"{error.reason}: {error}"
        self._keep(_Item(now, refused, _shown_headers(request.headers), body))
        if refused is None:
            return web.Response(status=204)
        return problem(
            401,
            "unverified",
            f"The callback can't be trusted: {refused}",
            request.rel_url.raw_path,
            headers={"WWW-Authenticate": "Webhook-Signature"},
        )

    async def show(self, request: web.Request) -> web.Response:
        """`GET`: `{items: [{receivedAt, verified, reason, headers, body}]}`, newest first."""
        check_local(request.headers)
        read_query(request)
        return web.Response(
            body=encode({"items": [_shown(item) for item in reversed(self._items)]}),
            headers={"Content-Type": "application/json", "X-Content-Type-Options": "nosniff"},
        )

    def _keep(self, item: _Item) -> None:
        self._items.append(item)
        self._bytes += len(item.body)
        while len(self._items) > _KEPT_ITEMS or self._bytes > _KEPT_BYTES:
            self._bytes -= len(self._items.popleft().body)


def _shown_headers(headers: CIMultiDictProxy[str]) -> dict[str, str]:
    """By name in lower case; several of one name are joined, as HTTP reads them."""
    shown: dict[str, str] = {}
    for name, value in headers.items():
        lowered = name.lower()
        text = value.encode("utf-8", "replace").decode()  # may hold bytes that are no UTF-8
        shown[lowered] = f"{shown[lowered]}, {text}" if lowered in shown else text
    return shown


def _shown(item: _Item) -> dict[str, Any]:
    return {
        "receivedAt": rfc3339(item.at),
        "verified": item.refused is None,
        "reason": item.refused,
        "headers": item.headers,
        "body": _body_json(item.body),
    }


def _body_json(body: bytes) -> Any:
    """The body as JSON if it is, or as text."""
    try:
        msgspec.json.decode(body)
        return Raw(body)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return body.decode("utf-8", "replace")
