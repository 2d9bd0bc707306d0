"""The settings as they are declared: each with its type, bounds, default and description."""

from __future__ import annotations

from ipaddress import ip_address
from pathlib import Path
from types import NoneType
from typing import Annotated, Any, Final, Literal, get_args, get_type_hints
from urllib.parse import urlsplit

import msgspec
from msgspec import Meta, Struct

from dispatcher.core.addresses import Policy
from dispatcher.core.errors import SettingsError
from dispatcher.core.limits import MOST_BODY_BYTES, MOST_BYTES_WAITING, MOST_WAITING, Limits
from dispatcher.core.ratelimit import MOST_REQUESTS, MOST_WINDOW_SECONDS
from dispatcher.core.retry import DEFAULT_SCHEDULE, Schedule
from dispatcher.core.urls import MAX_URL_LENGTH
from dispatcher.settings.queues import DeclaredQueue
from dispatcher.settings.store_url import check_postgres, database_of, is_sqlite, shown
from dispatcher.settings.types import DeclaredType

ENV_PREFIX: Final = "DISPATCHER_"


class Secret:
    """A text that never shows itself: not in a repr, a log, an error or a dump of the settings."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        """The text itself."""
        return self._text

    def __repr__(self) -> str:
        return "***"


def _says(description: str, least: float | None = None, most: float | None = None) -> Meta:
    return Meta(description=description, ge=least, le=most)


_DAY: Final = 86_400


class Settings(Struct, frozen=True, kw_only=True):
    """The settings in force; making one raises `SettingsError` where they contradict each other.

    Paths are relative to the working folder. Durations are seconds. `limits` are the settings
    whose names begin with `limit_`, `types` and `queues` the tables `[types."name"]` and
    `[queues."name"]` of the file.
    """

    host: Annotated[str, _says("The address to listen on.")] = "127.0.0.1"
    port: Annotated[int, _says("The port to listen on; 0 takes a free one.", 0, 65_535)] = 8080
    public_url: Annotated[
        str | None,
        _says("The URL that callers reach the service at; links begin with it."),
    ] = None
    dev: Annotated[
        bool,
        _says("Development: loopback only, requests need no key, loopback callbacks are allowed."),
    ] = False
    store: Annotated[
        str,
        _says(
            "Where everything is kept: `sqlite:///file.db`, `sqlite:////absolute/file.db`, or "
            "`postgresql://user:password@host/database` (behind PgBouncer with `?pgbouncer=true`)."
        ),
    ] = "sqlite:///dispatcher.db"
    secret_key: Annotated[
        Secret | None,
        _says(
            "The key that encrypts secrets (`dsk_…`). Without it the key file beside the SQLite "
            "file is used, and made at the first start; on PostgreSQL it must be set."
        ),
    ] = None
    postgres_connections: Annotated[
        int, _says("How many connections a process opens to PostgreSQL at most.", 11, 500)
    ] = 12
    role: Annotated[
        Literal["all", "api", "jobs", "delivery"],
        _says("Which part of the service this process is; on SQLite always `all`."),
    ] = "all"
    processes: Annotated[int, _says("How many processes serve; on SQLite always 1.", 1, 256)] = 1
    grace_seconds: Annotated[
        float, _says("After SIGTERM, what is in flight has this long to finish.", 0, _DAY)
    ] = 30
    lease_seconds: Annotated[
        float,
        _says("A process not heard of for this long has lost its jobs to others.", 3, 3_600),
    ] = 30
    jobs_at_once: Annotated[
        int, _says("How many jobs one process runs at once at most.", 1, 100_000)
    ] = 256
    allow_callbacks: Annotated[
        tuple[str, ...],
        _says(
            "Origins (`http://receiver:9000`) and networks (`10.0.0.0/8`) that callbacks may go "
            "to besides public https."
        ),
    ] = ()
    schedule: Annotated[
        Schedule,
        _says("Seconds before each attempt to deliver, the first included, unless a job says."),
    ] = DEFAULT_SCHEDULE
    delivery_timeout_seconds: Annotated[
        float,
        _says("One attempt's bound for DNS, connect, headers and body together.", 0.1, 300),
    ] = 15
    connect_timeout_seconds: Annotated[
        float, _says("Within it, the bound for connecting.", 0.1, 300)
    ] = 5
    sender: Annotated[
        Literal["narrow", "aiohttp"],
        _says("The HTTP client that sends callbacks; `narrow` is the faster and the stricter one."),
    ] = "narrow"
    delivery_slots: Annotated[
        int, _says("How many callbacks are sent to one destination at once at most.", 1, 10_000)
    ] = 32
    deliveries_at_once: Annotated[
        int, _says("How many callbacks one process sends at once at most.", 1, 100_000)
    ] = 384
    delivery_rate_per_second: Annotated[
        float,
        _says(
            "How many callbacks a second are sent to one destination at most; 0: no limit.",
            0,
            100_000,
        ),
    ] = 0
    breaker_failures: Annotated[
        int,
        _says(
            "After so many failures in a row nothing more is sent to a receiver for a while.",
            1,
            1_000_000,
        ),
    ] = 20
    breaker_rate: Annotated[
        float,
        _says("So it is when this part of 20 attempts or more in a minute fail.", 0.01, 1),
    ] = 0.5
    breaker_first_seconds: Annotated[
        float,
        _says("How long that is the first time; twice as long each time after.", 0.1, _DAY),
    ] = 5
    breaker_max_seconds: Annotated[float, _says("How long it is at most.", 0.1, _DAY)] = 600
    dead_kept_seconds: Annotated[
        float,
        _says(
            "How long a dead callback is kept, with its job, to be redelivered.", 0, 3_650 * _DAY
        ),
    ] = 30 * _DAY
    endpoint_failing_seconds: Annotated[
        float,
        _says(
            "A registered endpoint of which nothing but failures came for this long is disabled; "
            "0: none is.",
            0,
            365 * _DAY,
        ),
    ] = 5 * _DAY
    progress_seconds: Annotated[
        float,
        _says("A job's progress is written, and shown, once in so long at most.", 0.01, 3_600),
    ] = 0.5
    erased_kept_seconds: Annotated[
        float,
        _says(
            "How long the id of an erased job or callback is answered with 410.", 0, 3_650 * _DAY
        ),
    ] = 30 * _DAY
    audit_kept_seconds: Annotated[
        float, _says("How long what operators did stays in the audit log.", _DAY, 36_500 * _DAY)
    ] = 365 * _DAY
    log_level: Annotated[
        Literal["debug", "info", "warning", "error"],
        _says("The least level that is logged; `info` gives one event an attempt."),
    ] = "info"
    log_format: Annotated[
        Literal["auto", "json", "text"],
        _says("`json` is one object a line; `auto` is `text` on a terminal, `json` elsewhere."),
    ] = "auto"
    metrics_open: Annotated[
        bool, _says("Whether `/metrics` needs no key; `false` shows it to operators alone.")
    ] = True
    metrics_port: Annotated[
        int, _says("Of several processes the nth has `/metrics` at this port + n - 1.", 0, 65_280)
    ] = 0
    otel: Annotated[
        bool,
        _says(
            "Whether spans are exported by OpenTelemetry (extra `otel`); `OTEL_EXPORTER_OTLP_…` in "
            "the environment says where to."
        ),
    ] = False
    limits: Limits = Limits()
    types: tuple[DeclaredType, ...] = ()
    queues: tuple[DeclaredQueue, ...] = ()

    def __post_init__(self) -> None:
        self._check_store()
        if self.dev and not _is_loopback(self.host):
            raise SettingsError(
                f"dev serves loopback only, and host is {self.host!r}: leave host out, or leave "
                "dev out and make API keys with `dispatcher callers create`"
            )
        if self.public_url is not None:
            _check_public_url(self.public_url)
        if self.connect_timeout_seconds > self.delivery_timeout_seconds:
            raise SettingsError(
                "connect_timeout_seconds is a part of delivery_timeout_seconds and can't be more"
            )
        if self.breaker_first_seconds > self.breaker_max_seconds:
            raise SettingsError("breaker_first_seconds can't be more than breaker_max_seconds")
        Policy.parse(self.allow_callbacks, dev=self.dev)
        _check_limits(self.limits)

    def _check_store(self) -> None:
        if not self.on_sqlite:
            check_postgres(self.store, keyed=self.secret_key is not None or self.dev)
            return
        database_of(self.store)
        if self.processes > 1:
            raise SettingsError("processes must be 1 on SQLite: one process serves one file")
        if self.role != "all":
            raise SettingsError(f"role {self.role!r} is not for SQLite: one process does all there")

    @property
    def on_sqlite(self) -> bool:
        """Whether the store is an SQLite file."""
        return is_sqlite(self.store)

    @property
    def database(self) -> Path:
        """The SQLite file; raises `SettingsError` if the store is none."""
        return database_of(self.store)

    @property
    def store_shown(self) -> str:
        """The store as it may be shown: without a password."""
        return shown(self.store)

    @property
    def policy(self) -> Policy:
        """Where callbacks may go."""
        return Policy.parse(self.allow_callbacks, dev=self.dev)

    @property
    def limits_in_force(self) -> Limits:
        """The limits; in `--dev` without rates and quotas, which would only be in the way."""
        return self.limits.unlimited() if self.dev else self.limits

    def links_base(self, port: int | None = None) -> str:
        """What links begin with, without a slash at its end; `port` is the one really bound."""
        if self.public_url is not None:
            return self.public_url.rstrip("/")
        return self.local_url(port)

    def local_url(self, port: int | None = None) -> str:
        """Where the service listens; `port` is the one really bound."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{host}:{self.port if port is None else port}"


class Setting(Struct, frozen=True):
    """One setting as it is documented and parsed. `type` is as annotated, bounds included."""

    name: str
    type: Any
    default: object
    description: str

    @property
    def env(self) -> str:
        """Its name in the environment."""
        return ENV_PREFIX + self.name.upper()


LIMIT_PREFIX: Final = "limit_"
_LIMITS: Final[dict[str, Meta]] = {
    "body_bytes": _says("Bytes of a request's body at most.", 1, MOST_BODY_BYTES),
    "body_depth": _says("How deep a request's JSON is nested at most.", 1, 500),
    "output_bytes": _says("Bytes of an intermediate output at most.", 1, MOST_BODY_BYTES),
    "url_characters": _says("Characters of a callback URL at most.", 16, MAX_URL_LENGTH),
    "text_characters": _says("Characters of `correlationId`, keys and header values.", 1, 8_192),
    "metadata_entries": _says("Entries of `metadata` at most.", 0, 10_000),
    "metadata_characters": _says("Characters of each of them at most.", 1, 65_536),
    "callback_headers": _says("Headers of `callback.headers` at most.", 0, 100),
    "endpoints": _says("Registered endpoints of a caller at most.", 0, 1_000),
    "schedule_entries": _says("Entries of `callback.schedule` at most.", 1, 50),
    "schedule_seconds": _says("Seconds of each of them at most.", 0, 7 * _DAY),
    "max_attempts": _says("`maxAttempts` at most.", 1, 1_000_000),
    "timeout_seconds": _says("`timeoutSeconds` at most.", 0.001, 365 * _DAY),
    "delay_seconds": _says("How far ahead `delaySeconds` and `runAt` reach.", 0, 3_650 * _DAY),
    "retention_seconds": _says("`retentionSeconds` at most.", 1, 36_500 * _DAY),
    "default_retention_seconds": _says("How long a job is kept after its end.", 1, 36_500 * _DAY),
    "default_priority": _says("The priority of a job that names none.", 0, 9),
    "idempotency_seconds": _says("How long an `Idempotency-Key` is kept.", 1, 365 * _DAY),
    "submissions_at_once": _says(
        "Submissions under way at once at most, a quarter of them one caller's, and as many bodies "
        "of whatever call that are still coming; more are answered 503. Bounds memory.",
        1,
        1_000_000,
    ),
    "waits_at_once": _says(
        "Requests that wait at once (`Prefer: wait=N`) at most, a quarter of them one caller's; "
        "more are answered after a second at most.",
        0,
        1_000_000,
    ),
    "streams_at_once": _says(
        "Streams of events (SSE) open at once at most; more are answered 503. Bounds memory.",
        0,
        1_000_000,
    ),
    "streams_of_caller": _says("Of one caller at most; more are answered 429.", 0, 1_000_000),
    "page_items": _says("Items of a page of a list at most.", 1, 10_000),
    "default_page_items": _says("Items of a page if the request names no limit.", 1, 10_000),
    "submissions": _says(
        "Submissions of a caller in each window; more are answered 429.", 1, MOST_REQUESTS
    ),
    "submissions_window_seconds": _says("How long that window is.", 1, MOST_WINDOW_SECONDS),
    "jobs_waiting": _says("Jobs of a caller that wait at most; 429 beyond.", 1, MOST_WAITING),
    "bytes_waiting": _says(
        "Bytes of the inputs of a caller's waiting jobs at most; 429 beyond.",
        1,
        MOST_BYTES_WAITING,
    ),
    "queue_jobs": _says(
        "Jobs that wait in a queue at most, of all callers; 503 beyond.", 1, MOST_WAITING
    ),
}
_UNDESCRIBED: Final = Meta(description="")  # a limit that is new in core: a test asks for its words


def _settings() -> tuple[Setting, ...]:
    hints = get_type_hints(Settings, include_extras=True)
    own = [
        Setting(f.name, hints[f.name], f.default, hints[f.name].__metadata__[0].description)
        for f in msgspec.structs.fields(Settings)
        if f.name not in {"limits", "types", "queues"}
    ]
    limit_hints = get_type_hints(Limits)
    limits = [
        Setting(
            LIMIT_PREFIX + f.name,
            Annotated[_given(limit_hints[f.name]), _LIMITS.get(f.name, _UNDESCRIBED)],
            f.default,
            _LIMITS.get(f.name, _UNDESCRIBED).description or "",
        )
        for f in msgspec.structs.fields(Limits)
    ]
    return (*own, *limits)


def _given(kind: Any) -> Any:
    """The type of a limit that is given: one that may be left unset is a number all the same."""
    return get_args(kind)[0] if NoneType in get_args(kind) else kind


SETTINGS: Final = _settings()
"""Every setting, in the order of the reference page."""


# --- What a value must fit ---------------------------------------------------------------------


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _check_public_url(url: str) -> None:
    try:
        parts = urlsplit(url)
        good = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:
        good = False
    if not good or "@" in url or "?" in url or "#" in url or not url.isascii() or " " in url:
        raise SettingsError(
            "public_url must be http:// or https:// with a host, and a port and path if need be, "
            "such as https://jobs.example.com"
        )


def _check_limits(limits: Limits) -> None:
    for least, most in (
        ("default_page_items", "page_items"),
        ("default_retention_seconds", "retention_seconds"),
    ):
        if getattr(limits, least) > getattr(limits, most):
            raise SettingsError(f"limit_{least} can't be more than limit_{most}")
