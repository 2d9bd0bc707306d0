"""`/v1/types`: the kinds of job that there are."""

from __future__ import annotations

from aiohttp import web

from dispatcher.web.auth import Identity
from dispatcher.web.queries import PAGE, name_cursor, page, read_limit, read_name_cursor, read_query
from dispatcher.web.services import Services
from dispatcher.web.shown import type_shown


class Types:
    """The handlers of `/v1/types`."""

    def __init__(self, services: Services) -> None:
        self._catalog = services.catalog
        self._limits = services.limits
        self._public_url = services.public_url

    async def list(self, request: web.Request, who: Identity) -> web.Response:  # noqa: ARG002  # the same for whoever may ask
        """`GET /v1/types`: by name, each with its schemas."""
        query = read_query(request, PAGE)
        limit = read_limit(query, self._limits)
        after = read_name_cursor(query, "types") or ""
        kinds = [kind for kind in self._catalog.all() if kind.name > after]
        last = kinds[limit - 1].name if len(kinds) > limit else None
        items = [type_shown(kind) for kind in kinds[:limit]]
        return page(request, self._public_url, query, items, name_cursor("types", last))
