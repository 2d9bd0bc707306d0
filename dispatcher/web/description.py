"""`/openapi.json` and `/docs`: what is served here, for programs and for people."""

from __future__ import annotations

from base64 import urlsafe_b64encode
from collections.abc import Mapping
from hashlib import blake2b
from typing import Final

from aiohttp import web
from msgspec import Struct

from dispatcher.core.model import JobType, Role
from dispatcher.core.payload import encode
from dispatcher.web.headers import matches_etag
from dispatcher.web.openapi.described import Call
from dispatcher.web.openapi.document import Served, make_document
from dispatcher.web.page.document import CONTENT_SECURITY_POLICY, make_page
from dispatcher.web.queries import read_query
from dispatcher.web.services import Services

_OWN: Final[dict[Call, frozenset[Role]]] = {
    ("GET", "/openapi.json"): frozenset(),
    ("GET", "/docs"): frozenset(),
}
_ALWAYS: Final = {
    "Cache-Control": "no-cache",  # ask each time, by ETag: types come and go
    "X-Content-Type-Options": "nosniff",
}
_JSON: Final = {
    "Content-Type": "application/json",
    # It is the same for everybody and holds no secret: tools that run in a browser may read it.
    "Access-Control-Allow-Origin": "*",
} | _ALWAYS
_HTML: Final = {
    "Content-Type": "text/html; charset=utf-8",
    "Content-Security-Policy": CONTENT_SECURITY_POLICY,
    "Referrer-Policy": "no-referrer",
} | _ALWAYS


class _Made(Struct, frozen=True):
    """Both forms, of the types that were served when they were made."""

    kinds: tuple[JobType, ...]
    json: bytes
    page: bytes
    json_tag: str
    page_tag: str


class Description:
    """The handlers.

    `calls` are the other routes that are served, with the roles that may take them (none: no key).
    """

    def __init__(self, services: Services, calls: Mapping[Call, frozenset[Role]]) -> None:
        self._services = services
        self._calls = {**calls, **_OWN}
        self._made: _Made | None = None

    async def json(self, request: web.Request) -> web.Response:
        """`GET /openapi.json`: OpenAPI 3.1."""
        made = self._current(request)
        return _answer(request, made.json, made.json_tag, _JSON)

    async def page(self, request: web.Request) -> web.Response:
        """`GET /docs`: the same as a page without scripts."""
        made = self._current(request)
        return _answer(request, made.page, made.page_tag, _HTML)

    def _current(self, request: web.Request) -> _Made:
        """Made once, and again when the types have changed: it takes some 15 ms."""
        read_query(request)
        kinds = tuple(self._services.catalog.all())
        if self._made is None or self._made.kinds != kinds:
            self._made = self._make(kinds)
        return self._made

    def _make(self, kinds: tuple[JobType, ...]) -> _Made:
        services = self._services
        document = make_document(
            Served(
                calls=self._calls,
                kinds=kinds,
                remote=() if services.remote is None else tuple(sorted(services.remote.types)),
                limits=services.limits,
                public_url=services.public_url,
                dev=services.dev is not None,
            )
        )
        written, page = encode(document), make_page(document).encode()
        return _Made(kinds, written, page, _tag(written), _tag(page))


def _tag(body: bytes) -> str:
    digest = blake2b(body, digest_size=12).digest()
    return f'"{urlsafe_b64encode(digest).decode("ascii")}"'


def _answer(
    request: web.Request, body: bytes, tag: str, headers: Mapping[str, str]
) -> web.Response:
    known = ",".join(request.headers.getall("If-None-Match", ()))
    if matches_etag(known, tag):
        return web.Response(status=304, headers=_ALWAYS | {"ETag": tag})
    return web.Response(body=body, headers={**headers, "ETag": tag})
