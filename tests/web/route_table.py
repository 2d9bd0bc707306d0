"""Every call there is, and who may make it.

A route that is not in this table fails the tests that go through it: whoever adds one says here who
may take it, and in `test_two_callers.py` what another caller gets of it.
"""

from __future__ import annotations

from enum import Enum
from typing import Final

from aiohttp import web

from dispatcher.core.model import Role

NO_ID: Final = {
    "job": "job_" + "0" * 32,
    "delivery": "dlv_" + "0" * 32,
    "caller": "clr_" + "9" * 32,
    "destination": "dst_" + "0" * 32,
    "key": "key_" + "9" * 32,
    "endpoint": "ep_" + "0" * 32,
    "lease": "lse_" + "0" * 32,
}


class Who(Enum):
    """Who may make a call."""

    ANYONE = frozenset[Role]()
    """Without a key."""
    CALLERS = frozenset({Role.CALLER, Role.OPERATOR})
    OPERATORS = frozenset({Role.OPERATOR})
    WORKERS = frozenset({Role.WORKER})


ROUTES: Final[dict[tuple[str, str], Who]] = {
    ("POST", "/v1/jobs"): Who.CALLERS,
    ("GET", "/v1/jobs"): Who.CALLERS,
    ("GET", "/v1/jobs/{id}"): Who.CALLERS,
    ("DELETE", "/v1/jobs/{id}"): Who.CALLERS,
    ("POST", "/v1/jobs/{id}/replay"): Who.CALLERS,
    ("GET", "/v1/jobs/{id}/result"): Who.CALLERS,
    ("GET", "/v1/jobs/{id}/events"): Who.CALLERS,
    ("GET", "/v1/jobs/{id}/deliveries"): Who.CALLERS,
    ("POST", "/v1/jobs/{id}/cancel"): Who.CALLERS,
    ("GET", "/v1/events"): Who.CALLERS,
    ("GET", "/v1/deliveries"): Who.CALLERS,
    ("GET", "/v1/deliveries/{id}"): Who.CALLERS,
    ("POST", "/v1/deliveries/{id}/redeliver"): Who.CALLERS,
    ("POST", "/v1/deliveries/{id}/cancel"): Who.CALLERS,
    ("POST", "/v1/endpoints"): Who.CALLERS,
    ("GET", "/v1/endpoints"): Who.CALLERS,
    ("GET", "/v1/endpoints/{id}"): Who.CALLERS,
    ("PATCH", "/v1/endpoints/{id}"): Who.CALLERS,
    ("DELETE", "/v1/endpoints/{id}"): Who.CALLERS,
    ("POST", "/v1/endpoints/{id}/rotate-secret"): Who.CALLERS,
    ("POST", "/v1/endpoints/{id}/enable"): Who.CALLERS,
    ("POST", "/v1/endpoints/{id}/disable"): Who.CALLERS,
    ("POST", "/v1/endpoints/{id}/ping"): Who.CALLERS,
    ("GET", "/v1/types"): Who.OPERATORS,
    ("GET", "/v1/callers"): Who.OPERATORS,
    ("POST", "/v1/callers"): Who.OPERATORS,
    ("GET", "/v1/callers/{id}"): Who.OPERATORS,
    ("PATCH", "/v1/callers/{id}"): Who.OPERATORS,
    ("POST", "/v1/callers/{id}/keys"): Who.OPERATORS,
    ("DELETE", "/v1/callers/{id}/keys/{keyId}"): Who.OPERATORS,
    ("POST", "/v1/callers/{id}/rotate-secret"): Who.OPERATORS,
    ("GET", "/v1/destinations"): Who.OPERATORS,
    ("GET", "/v1/destinations/{id}"): Who.OPERATORS,
    ("POST", "/v1/destinations/{id}/pause"): Who.OPERATORS,
    ("POST", "/v1/destinations/{id}/resume"): Who.OPERATORS,
    ("GET", "/v1/queues"): Who.OPERATORS,
    ("POST", "/v1/queues/{name}/pause"): Who.OPERATORS,
    ("POST", "/v1/queues/{name}/resume"): Who.OPERATORS,
    ("POST", "/v1/pause"): Who.OPERATORS,
    ("POST", "/v1/resume"): Who.OPERATORS,
    ("POST", "/v1/leases"): Who.WORKERS,
    ("POST", "/v1/leases/{id}/heartbeat"): Who.WORKERS,
    ("POST", "/v1/leases/{id}/complete"): Who.WORKERS,
    ("POST", "/v1/leases/{id}/fail"): Who.WORKERS,
    ("POST", "/v1/leases/{id}/snooze"): Who.WORKERS,
    ("GET", "/v1/audit"): Who.OPERATORS,
    ("GET", "/healthz"): Who.ANYONE,
    ("GET", "/readyz"): Who.ANYONE,
    ("GET", "/.well-known/jwks.json"): Who.ANYONE,
    ("GET", "/openapi.json"): Who.ANYONE,
    ("GET", "/docs"): Who.ANYONE,
    ("GET", "/metrics"): Who.ANYONE,  # to operators alone if `metrics_open` is false
    ("POST", "/dev/inbox"): Who.ANYONE,  # these two are there with `--dev` alone
    ("GET", "/dev/inbox"): Who.ANYONE,
}


def routes_of(app: web.Application) -> list[tuple[str, str]]:
    """The method and path of every route, each GET standing for its HEAD too."""
    found: list[tuple[str, str]] = []
    for route in app.router.routes():
        assert route.resource is not None
        if route.method != "HEAD":
            found.append((route.method, route.resource.canonical))
    return found


def path_of(template: str) -> str:
    """A path whose ids are those of nothing."""
    kind = template.removeprefix("/v1/").partition("/")[0]
    ids = {
        "jobs": "job",
        "deliveries": "delivery",
        "endpoints": "endpoint",
        "callers": "caller",
        "destinations": "destination",
        "leases": "lease",
    }
    path = template.replace("{keyId}", NO_ID["key"]).replace("{name}", "default")
    return path.replace("{id}", NO_ID[ids[kind]]) if "{id}" in path else path
