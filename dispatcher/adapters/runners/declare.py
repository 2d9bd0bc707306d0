"""Where a service says what jobs it does."""

from __future__ import annotations

import math
import os
import re
import sys
from collections.abc import Callable
from typing import Any, Final, TypeVar
from weakref import WeakValueDictionary

from msgspec import structs

from dispatcher.adapters.runners.handler import read_handler
from dispatcher.adapters.runners.processes import Children
from dispatcher.adapters.runners.processes.pool import Home, ProcessRunner
from dispatcher.adapters.runners.python import DEFAULT_THREADS, PythonRunner, ThreadRunner
from dispatcher.core.errors import SettingsError
from dispatcher.core.model import JobType
from dispatcher.core.retry import DEFAULT_JOB_BACKOFF, JobBackoff
from dispatcher.ports.runner import Runner

F = TypeVar("F", bound=Callable[..., Any])

_NAME: Final = re.compile("[a-z0-9][a-z0-9._-]{0,99}")
_RESERVED: Final = "dispatcher."
_YEAR: Final = 365 * 86_400
_MAX_THREADS: Final = 1_000
_NAME_RULE: Final = (
    "begins with a small letter or a digit, and goes on with those, `.`, `_` or `-`, to 100 "
    "characters at most"
)


class Dispatcher:
    """The jobs that a service does, each by a function.

        app = Dispatcher()

        @app.job("report.generate", timeout=600)
        async def generate(job: JobContext, request: ReportRequest) -> Report: ...

    A handler is `async def`, which runs on the event loop and must not block it, or `def`, which
    runs in a thread and may; with `process=True` either runs in a worker process, which may use a
    processor fully, and may crash. It takes `(job, input)`, `(job: JobContext)`, `(input: T)` or
    nothing.

    - The input is read as the annotation says: a dataclass, TypedDict, msgspec Struct, pydantic
      model, list, dict or scalar; without one it is any JSON. Its JSON Schema refuses what does
      not fit when it is submitted; what the schema can't say is refused when the job runs
      (`bad-input`, not tried again).
    - The result is what it returns, as JSON: NaN and infinity become null, None is `null`. A result
      that can't be written ends the job as failed (`bad-result`).
    - `raise Fail(code, detail)` fails the job for good, `Retry(after)` tries again, `Cancel(why)`
      cancels it, `Snooze(seconds)` puts it off and gives the attempt back. Any other exception is
      a failed attempt (`handler-error`), tried again after the backoff; its traceback goes to the
      log `dispatcher.handlers`.

    A handler runs again when its attempt failed or its worker was lost, so what it does outside
    must bear repetition; `job.id` is the same each time.
    """

    def __init__(self) -> None:
        self._runners: dict[str, PythonRunner] = {}
        self._handlers: dict[str, str] = {}
        self._homes: dict[str, Home] = {}

    def job(
        self,
        name: str,
        *,
        timeout: float = 600.0,
        max_timeout: float | None = None,
        max_attempts: int = 3,
        most_attempts: int | None = None,
        concurrency: int | None = None,
        queue: str = "default",
        backoff: JobBackoff | float | None = None,
        fail_on: type[BaseException] | tuple[type[BaseException], ...] = (),
        process: bool = False,
        description: str | None = None,
    ) -> Callable[[F], F]:
        """Declare the function below to do the jobs of type `name`. The function stays as it is.

        Args:
            name: `[a-z0-9][a-z0-9._-]{0,99}`, not beginning with `dispatcher.`.
            timeout: the seconds that an attempt may take, unless the submission says otherwise.
            max_timeout: the most that a submission may say; None: the service's own limit.
            max_attempts: the attempts, the first included, unless the submission says otherwise.
            most_attempts: the most that a submission may say; None: the service's own limit.
            concurrency: how many run at once; None: as many as the service runs, and for a `def`
                handler 16, each in a thread; with `process` as many as there are processors.
            queue: where its jobs wait, unless the submission says otherwise.
            backoff: the seconds until the second attempt, four times as many until the third, and
                so on up to an hour; or a `JobBackoff`. None: 1 s, 4 s, 16 s …
            fail_on: exceptions that fail the job for good; any other is tried again.
            process: whether it runs in worker processes, one job at a time in each; they declare
                the handler by importing its module anew.
            description: for people who read `/v1/types`; None: the docstring's first paragraph.

        Raises:
            SettingsError: the declaration can't stand; the message says what to change.
        """
        if callable(name):
            raise SettingsError('Write @app.job("name.of.the.job"), with the name of the type.')
        declared = JobType(
            name=name,
            runner="python",
            description=description or "",
            queue=queue,
            timeout_seconds=timeout,
            max_timeout_seconds=max_timeout,
            max_attempts=max_attempts,
            most_attempts=most_attempts,
            concurrency=concurrency,
        )
        _check(declared)
        wait = _backoff(f"The job type {name!r}", backoff)
        final = _exceptions(f"The job type {name!r}: fail_on", fail_on)

        def declare(function: F) -> F:
            runner = _runner(function, declared, wait, final, process=process)
            self._add(name, function, runner, process=process)
            return function

        return declare

    def types(self) -> tuple[JobType, ...]:
        """The declared types, by name."""
        return tuple(self._runners[name].type for name in sorted(self._runners))

    def runners(self, children: Children | None = None) -> dict[str, Runner]:
        """What does the jobs: a runner for each type, by its name.

        `children` starts the worker processes of types with `process=True`; without it their jobs
        are done in this process.
        """
        found: dict[str, Runner] = {name: self._runners[name] for name in sorted(self._runners)}
        if children is not None:
            for name, home in self._homes.items():
                here = self._runners[name]
                found[name] = ProcessRunner(here.type, here.backoff, home, children)
        return found

    def _add(self, name: str, function: Any, runner: PythonRunner, *, process: bool) -> None:
        if name in self._runners:
            raise SettingsError(
                f"The job type {name!r} is declared twice, by {self._handlers[name]} and by "
                f"{_title(function)}: give one of them another name."
            )
        self._runners[name] = runner
        self._handlers[name] = _title(function)
        if process:
            self._homes[name] = _home(function)
            _latest[name] = self


_latest: Final[WeakValueDictionary[str, Dispatcher]] = WeakValueDictionary()
"""Who declared a type with `process=True` last, by its name."""


def declared(name: str) -> Runner | None:
    """For worker processes: what does the jobs of a type with `process=True`, in this process."""
    app = _latest.get(name)
    return None if app is None else app.runners()[name]


def _home(function: Any) -> Home:
    module = getattr(function, "__module__", None) or "__main__"
    file = getattr(sys.modules.get(module), "__file__", None)
    return Home(module, None if file is None else os.path.realpath(file))


def _runner(
    function: Any,
    declared: JobType,
    backoff: JobBackoff,
    fail_on: tuple[type[BaseException], ...],
    *,
    process: bool,
) -> PythonRunner:
    where = f"The job type {declared.name!r}: {_title(function)}"
    handler = read_handler(function, where)
    job_type = structs.replace(
        declared,
        description=declared.description or handler.description,
        schema=handler.schema,
        result_schema=handler.result_schema,
    )
    if process:
        processes = declared.concurrency or os.cpu_count() or 1
        job_type = structs.replace(job_type, concurrency=processes)
    if handler.is_async:
        return PythonRunner(handler, job_type, backoff, fail_on)
    threads = job_type.concurrency or DEFAULT_THREADS
    if threads > _MAX_THREADS:
        raise SettingsError(
            f"{where} is a `def`, so each job needs a thread, and {threads} are too many: lower "
            f"`concurrency` to {_MAX_THREADS}, or write it as `async def`."
        )
    return ThreadRunner(handler, structs.replace(job_type, concurrency=threads), backoff, fail_on)


def _exceptions(where: str, given: Any) -> tuple[type[BaseException], ...]:
    found = given if isinstance(given, tuple) else (given,)
    if not all(isinstance(each, type) and issubclass(each, BaseException) for each in found):
        raise SettingsError(f"{where} must be an exception's class or several, not {given!r}.")
    return found


def _title(function: Any) -> str:
    module = getattr(function, "__module__", None)
    name = getattr(function, "__qualname__", None) or repr(function)
    return f"{module}.{name}" if module else name


def _check(declared: JobType) -> None:
    name = declared.name
    _check_name("The job type", name)
    if name.startswith(_RESERVED):
        raise SettingsError(f"The job type {name!r}: names in `{_RESERVED}*` are built in.")
    where = f"The job type {name!r}"
    timeout, attempts = declared.timeout_seconds, declared.max_attempts
    _check_name(f"{where}: the queue", declared.queue)
    _check_seconds(f"{where}: timeout", timeout)
    if declared.max_timeout_seconds is not None:
        _check_seconds(f"{where}: max_timeout", declared.max_timeout_seconds, least=timeout)
    _check_count(f"{where}: max_attempts", attempts)
    if declared.most_attempts is not None:
        _check_count(f"{where}: most_attempts", declared.most_attempts, least=attempts)
    if declared.concurrency is not None:
        _check_count(f"{where}: concurrency", declared.concurrency)


def _check_name(what: str, name: object) -> None:
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise SettingsError(f"{what} {name!r} is no name: a name {_NAME_RULE}.")


def _check_seconds(what: str, value: object, *, least: float = 0.0) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value <= _YEAR:
        raise SettingsError(f"{what} must be seconds above 0, {_YEAR:,} at most, not {value!r}.")
    if value < least:
        raise SettingsError(f"{what} must be at least the default, {least:g}, not {value!r}.")


def _check_count(what: str, value: object, *, least: int = 1) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise SettingsError(f"{what} must be a whole number, {least} or more, not {value!r}.")


def _backoff(where: str, backoff: object) -> JobBackoff:
    if backoff is None:
        return DEFAULT_JOB_BACKOFF
    if isinstance(backoff, JobBackoff):
        return backoff
    first = backoff
    if isinstance(first, bool) or not isinstance(first, int | float) or not 0 <= first < math.inf:
        raise SettingsError(f"{where}: backoff must be seconds, or a JobBackoff, not {backoff!r}.")
    try:
        return JobBackoff(
            first_seconds=float(first),
            max_seconds=max(float(first), DEFAULT_JOB_BACKOFF.max_seconds),
        )
    except ValueError as error:
        raise SettingsError(f"{where}: {error}, not {backoff!r}.") from error
