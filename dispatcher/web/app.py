"""The application: every path, who may take it, and the one middleware around them all."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from typing import Final, TypeAlias

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from dispatcher.core.errors import Gone, NotFound
from dispatcher.core.model import Role
from dispatcher.engine.waiters import Waiters
from dispatcher.ports.observer import REQUEST_ID as OBSERVED_REQUEST_ID
from dispatcher.web.afterwards import Afterwards
from dispatcher.web.audit import AuditLog
from dispatcher.web.auth import REQUEST_ID_KEY, Identity, Keys
from dispatcher.web.body import BODIES, SENDER, body_places
from dispatcher.web.callers import CallerCalls
from dispatcher.web.deliveries import Deliveries
from dispatcher.web.description import Description
from dispatcher.web.destinations import DestinationCalls
from dispatcher.web.dev import Inbox
from dispatcher.web.endpoints import EndpointCalls
from dispatcher.web.events import Events
from dispatcher.web.headers import check_transfer, sane_request_id
from dispatcher.web.health import Health
from dispatcher.web.jobs import Jobs
from dispatcher.web.leases import Leases
from dispatcher.web.metrics import MetricsPage
from dispatcher.web.openapi.described import Call
from dispatcher.web.pausing import Pausing
from dispatcher.web.problems import problem_of
from dispatcher.web.rates import STANDING, tell
from dispatcher.web.refusals import MetricsApart, WrongRole
from dispatcher.web.request_id import REQUEST_ID, sign
from dispatcher.web.services import EdgeStore, Services
from dispatcher.web.trouble import StoreTrouble
from dispatcher.web.types import Types

KnownHandler = Callable[[web.Request, Identity], Awaitable[web.StreamResponse]]

Guarded: TypeAlias = tuple[str, str, frozenset[Role], KnownHandler]

CALLERS: Final = frozenset({Role.CALLER, Role.OPERATOR})
OPERATORS: Final = frozenset({Role.OPERATOR})
WORKERS: Final = frozenset({Role.WORKER})

_ERASED: Final = frozenset({"job", "delivery"})


def make_app(services: Services, keys: Keys | None = None) -> web.Application:
    """The HTTP edge as an application; serve it with `web.server.EdgeRunner`.

    `keys`: who knows them, if somebody else is to tell it of changes.
    """
    keys = keys or Keys(services.store, services.clock, services.dev)
    jobs = Jobs(services)
    events = Events(services, keys.identify)
    again = Afterwards(services, jobs)
    deliveries = Deliveries(services)
    endpoints = EndpointCalls(services)
    destinations = DestinationCalls(services)
    types = Types(services)
    callers = CallerCalls(services)
    # What needs a key: the path, who may take it, and the handler.
    guarded: tuple[Guarded, ...] = (
        ("POST", "/v1/jobs", CALLERS, jobs.submit),
        ("GET", "/v1/jobs", CALLERS, jobs.list),
        ("GET", "/v1/jobs/{id}", CALLERS, jobs.get),
        ("DELETE", "/v1/jobs/{id}", CALLERS, again.delete),
        ("POST", "/v1/jobs/{id}/replay", CALLERS, again.replay),
        ("GET", "/v1/jobs/{id}/result", CALLERS, jobs.result),
        ("GET", "/v1/jobs/{id}/events", CALLERS, events.of_job),
        ("GET", "/v1/jobs/{id}/deliveries", CALLERS, jobs.deliveries),
        ("POST", "/v1/jobs/{id}/cancel", CALLERS, jobs.cancel),
        ("GET", "/v1/events", CALLERS, events.feed),
        ("GET", "/v1/deliveries", CALLERS, deliveries.list),
        ("GET", "/v1/deliveries/{id}", CALLERS, deliveries.get),
        ("POST", "/v1/deliveries/{id}/redeliver", CALLERS, deliveries.redeliver),
        ("POST", "/v1/deliveries/{id}/cancel", CALLERS, deliveries.cancel),
        ("POST", "/v1/endpoints", CALLERS, endpoints.create),
        ("GET", "/v1/endpoints", CALLERS, endpoints.list),
        ("GET", "/v1/endpoints/{id}", CALLERS, endpoints.get),
        ("PATCH", "/v1/endpoints/{id}", CALLERS, endpoints.change),
        ("DELETE", "/v1/endpoints/{id}", CALLERS, endpoints.delete),
        ("POST", "/v1/endpoints/{id}/rotate-secret", CALLERS, endpoints.rotate_secret),
        ("POST", "/v1/endpoints/{id}/enable", CALLERS, endpoints.enable),
        ("POST", "/v1/endpoints/{id}/disable", CALLERS, endpoints.disable),
        ("POST", "/v1/endpoints/{id}/ping", CALLERS, endpoints.ping),
        ("GET", "/v1/types", OPERATORS, types.list),
        ("GET", "/v1/callers", OPERATORS, callers.list),
        ("POST", "/v1/callers", OPERATORS, callers.create),
        ("GET", "/v1/callers/{id}", OPERATORS, callers.get),
        ("PATCH", "/v1/callers/{id}", OPERATORS, callers.change),
        ("POST", "/v1/callers/{id}/keys", OPERATORS, callers.add_key),
        ("DELETE", "/v1/callers/{id}/keys/{keyId}", OPERATORS, callers.revoke_key),
        ("POST", "/v1/callers/{id}/rotate-secret", OPERATORS, callers.rotate_secret),
        ("GET", "/v1/destinations", OPERATORS, destinations.list),
        ("GET", "/v1/destinations/{id}", OPERATORS, destinations.get),
        ("POST", "/v1/destinations/{id}/pause", OPERATORS, destinations.pause),
        ("POST", "/v1/destinations/{id}/resume", OPERATORS, destinations.resume),
        ("GET", "/v1/audit", OPERATORS, AuditLog(services).list),
    )
    guarded += (*_queue_calls(services), *_lease_calls(services))
    app = web.Application(middlewares=[_edge(services)], client_max_size=services.limits.body_bytes)
    app[BODIES] = body_places(services.limits)
    app.on_shutdown.append(_let_go(services.waiters))
    _add_routes(app, services, keys, guarded)
    return app


def make_side_app(services: Services, keys: Keys, role: str) -> web.Application:
    """For a process that does not serve the API: what every process says of itself."""
    app = web.Application(middlewares=[_edge(services)])
    own = {"/healthz", "/readyz", "/metrics"}
    for _, path, handler in _public(services, keys, alone=True):
        if path in own:
            app.router.add_get(path, handler)

    async def elsewhere(_: web.Request) -> web.StreamResponse:
        raise WrongRole(role)

    app.router.add_route("*", "/{path:.*}", elsewhere, expect_handler=_expect)
    return app


def _add_routes(
    app: web.Application, services: Services, keys: Keys, guarded: tuple[Guarded, ...]
) -> None:
    routes = [
        (method, path, _known(keys, roles, _gone(services.store, do)))
        for method, path, roles, do in guarded
    ]
    public = _public(services, keys)
    description = Description(services, _calls(services, guarded, public))
    public += [("GET", "/openapi.json", description.json), ("GET", "/docs", description.page)]
    for method, path, handler in [*routes, *public]:
        app.router.add_route(method, path, handler, expect_handler=_expect)
        if method == "GET":
            app.router.add_route("HEAD", path, handler, expect_handler=_expect)


async def _metrics_apart(_: web.Request) -> web.StreamResponse:
    raise MetricsApart


def _public(
    services: Services, keys: Keys, *, alone: bool = False
) -> list[tuple[str, str, Handler]]:
    """What needs no key, unless a setting says so. `alone`: the port is this process's own."""
    health = Health(services)
    public: list[tuple[str, str, Handler]] = [
        ("GET", "/healthz", health.live),
        ("GET", "/readyz", health.ready),
        ("GET", "/.well-known/jwks.json", services.public_keys.show),
    ]
    if services.metrics_apart and not alone:
        public.append(("GET", "/metrics", _metrics_apart))
    elif services.metrics is not None:
        show = MetricsPage(services.metrics).show
        guard = show if services.metrics_open else _known(keys, OPERATORS, show)
        public.append(("GET", "/metrics", guard))
    if services.dev is not None:
        inbox = Inbox(services, services.dev)
        public += [("POST", "/dev/inbox", inbox.receive), ("GET", "/dev/inbox", inbox.show)]
    return public


def _calls(
    services: Services, guarded: Iterable[Guarded], public: Iterable[tuple[str, str, Handler]]
) -> dict[Call, frozenset[Role]]:
    """Every route that is served, with the roles that may take it; none: no key is needed."""
    calls = {(method, path): roles for method, path, roles, _ in guarded}
    calls |= {(method, path): frozenset() for method, path, _ in public}
    closed = services.metrics is not None and not services.metrics_open
    if closed and not services.metrics_apart:  # then nobody has them here
        calls["GET", "/metrics"] = OPERATORS
    return calls


def _queue_calls(services: Services) -> tuple[Guarded, ...]:
    if services.queues is None:
        return ()
    pausing = Pausing(services, services.queues)
    return (
        ("GET", "/v1/queues", OPERATORS, pausing.list),
        ("POST", "/v1/queues/{name}/pause", OPERATORS, pausing.pause),
        ("POST", "/v1/queues/{name}/resume", OPERATORS, pausing.resume),
        ("POST", "/v1/pause", OPERATORS, pausing.pause_all),
        ("POST", "/v1/resume", OPERATORS, pausing.resume_all),
    )


def _lease_calls(services: Services) -> tuple[Guarded, ...]:
    if services.remote is None:
        return ()
    leases = Leases(services, services.remote)
    return (
        ("POST", "/v1/leases", WORKERS, leases.lease),
        ("POST", "/v1/leases/{id}/heartbeat", WORKERS, leases.heartbeat),
        ("POST", "/v1/leases/{id}/complete", WORKERS, leases.complete),
        ("POST", "/v1/leases/{id}/fail", WORKERS, leases.fail),
        ("POST", "/v1/leases/{id}/snooze", WORKERS, leases.snooze),
    )


def _let_go(waiters: Waiters) -> Callable[[web.Application], Awaitable[None]]:
    """At the end, whoever waits is answered and streams end, before requests are waited for."""

    async def let_go(_: web.Application) -> None:
        waiters.close()

    return let_go


def _known(keys: Keys, roles: frozenset[Role], handler: KnownHandler) -> Handler:
    """A handler that is told who calls, and is not called at all for whoever may not."""

    async def handle(request: web.Request) -> web.StreamResponse:
        who = await keys.identify(request)
        who.require(roles)
        request[SENDER] = who.caller.id
        return await handler(request, who)

    return handle


def _gone(store: EdgeStore, handler: KnownHandler) -> KnownHandler:
    """A handler that says of what is not found whether it was there, and was erased."""

    async def handle(request: web.Request, who: Identity) -> web.StreamResponse:
        try:
            return await handler(request, who)
        except NotFound as missing:
            if missing.what in _ERASED and await store.was_erased(missing.id, who.scope):
                raise Gone(missing.what, missing.id) from None
            raise

    return handle


def _edge(services: Services) -> Middleware:
    """Around every request: its id, and errors as problems."""
    ids, trouble = services.ids, StoreTrouble(services.clock)

    @web.middleware
    async def edge(request: web.Request, handler: Handler) -> web.StreamResponse:
        request_id = sane_request_id(request.headers.get(REQUEST_ID)) or ids.new("req")
        request[REQUEST_ID_KEY] = request_id
        OBSERVED_REQUEST_ID.set(request_id)
        try:
            if "Transfer-Encoding" in request.headers:
                check_transfer(request.headers.getall("Transfer-Encoding"))
            response = await handler(request)
        except Exception as error:  # noqa: BLE001  # whatever it is, the caller gets a problem; the table logs what is ours
            path = request.rel_url.raw_path
            trouble.met(error, path, request_id)
            response = problem_of(error, path, request_id)
        if not response.prepared:  # a stream has had them from the beginning
            sign(response, request_id)
        if STANDING in request:
            tell(request[STANDING], response)
        return response

    return edge


async def _expect(request: web.Request) -> None:
    """`Expect: 100-continue` (RFC 9110, 10.1.1) is met when the body is read: see `read_bytes`.

    So nobody is asked for a body that will be refused: too large, or of one who may not.
    """
    if request.headers["Expect"].lower() != "100-continue":
        raise web.HTTPExpectationFailed
