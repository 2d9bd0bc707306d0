from __future__ import annotations

import functools
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from msgspec import Struct

from dispatcher import Dispatcher, JobContext
from dispatcher.adapters.runners.python import PythonRunner, ThreadRunner
from dispatcher.core.errors import SettingsError
from dispatcher.core.model import JobType
from dispatcher.core.outcome import Succeeded
from dispatcher.core.retry import DEFAULT_JOB_BACKOFF, JobBackoff
from tests.runners.fakes import run, runner_of


class Request(Struct):
    name: str


class Strange:
    pass


async def plain(job: JobContext, given: Request) -> str:
    """Say the name,
    and no more.

    The rest is for developers.
    """
    return given.name


def test_a_declaration_says_all_of_a_type() -> None:
    app = Dispatcher()
    declare = app.job(
        "report.generate",
        timeout=60,
        max_timeout=90,
        max_attempts=2,
        most_attempts=5,
        concurrency=8,
        queue="slow",
    )
    assert declare(plain) is plain
    (job_type,) = app.types()
    assert job_type == JobType(
        name="report.generate",
        runner="python",
        description="Say the name, and no more.",
        queue="slow",
        timeout_seconds=60.0,
        max_timeout_seconds=90.0,
        max_attempts=2,
        most_attempts=5,
        concurrency=8,
        schema=job_type.schema,
        result_schema=job_type.result_schema,
    )
    assert job_type.schema is not None
    assert job_type.result_schema is not None


def test_types_and_runners_come_by_name_and_belong_together() -> None:
    app = Dispatcher()
    for name in ("b", "c", "a"):
        app.job(name)(plain)
    assert [each.name for each in app.types()] == ["a", "b", "c"]
    assert {name: each.type for name, each in app.runners().items()} == {
        each.name: each for each in app.types()
    }
    assert list(app.runners()) == ["a", "b", "c"]


def test_a_type_that_says_nothing_has_the_defaults() -> None:
    runner = runner_of(plain)
    assert (runner.type.timeout_seconds, runner.type.max_attempts) == (600.0, 3)
    assert (runner.type.concurrency, runner.type.queue) == (None, "default")
    assert runner.backoff == DEFAULT_JOB_BACKOFF


def test_a_def_handler_runs_in_threads_and_as_many_as_there_are() -> None:
    def slow(given: Request) -> None:
        pass

    assert isinstance(runner_of(slow), ThreadRunner)
    assert runner_of(slow).type.concurrency == 16
    assert runner_of(slow, concurrency=3).type.concurrency == 3
    assert not isinstance(runner_of(plain), ThreadRunner)
    with pytest.raises(SettingsError, match=r"needs a thread.*lower `concurrency` to 1000"):
        runner_of(slow, concurrency=1_001)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (2, JobBackoff(2.0)),
        (0, JobBackoff(0.0)),
        (7_200, JobBackoff(7_200.0, max_seconds=7_200.0)),
        (JobBackoff(1, 2, 3), JobBackoff(1, 2, 3)),
    ],
)
def test_a_number_of_seconds_is_a_backoff_too(given: Any, expected: JobBackoff) -> None:
    assert runner_of(plain, backoff=given).backoff == expected


@pytest.mark.parametrize("name", ["a", "0", "media.probe", "a_b-c.d", "x" * 100])
def test_good_names_of_types_are_taken(name: str) -> None:
    app = Dispatcher()
    app.job(name)(plain)
    assert app.types()[0].name == name


@pytest.mark.parametrize("name", ["", "A", ".a", "-a", "a b", "a\n", "x" * 101, "ä", None, 3])
def test_bad_names_of_types_and_queues_are_refused(name: Any) -> None:
    with pytest.raises(SettingsError, match="begins with a small letter or a digit"):
        Dispatcher().job(name)
    with pytest.raises(SettingsError, match="the queue"):
        Dispatcher().job("a", queue=name)


def test_built_in_names_are_refused() -> None:
    with pytest.raises(SettingsError, match="built in"):
        Dispatcher().job("dispatcher.echo")


def test_a_name_is_declared_once_and_the_error_names_both() -> None:
    app = Dispatcher()
    app.job("a")(plain)

    async def other() -> None:
        pass

    with pytest.raises(SettingsError, match=r"declared twice, by tests\..*plain and by .*other"):
        app.job("a")(other)
    assert len(app.types()) == 1


def test_the_decorator_needs_its_parentheses() -> None:
    bare: Any = Dispatcher().job
    with pytest.raises(SettingsError, match=r'Write @app\.job\("name'):
        bare(plain)


@pytest.mark.parametrize(
    "terms",
    [
        {"timeout": 0},
        {"timeout": -1},
        {"timeout": float("nan")},
        {"timeout": float("inf")},
        {"timeout": "60"},
        {"timeout": None},
        {"max_attempts": None},
        {"timeout": True},
        {"timeout": 60, "max_timeout": 59},
        {"max_timeout": float("inf")},
        {"max_attempts": 0},
        {"max_attempts": 1.5},
        {"max_attempts": True},
        {"max_attempts": 3, "most_attempts": 2},
        {"concurrency": 0},
        {"backoff": -1},
        {"backoff": float("nan")},
        {"backoff": float("inf")},
        {"backoff": 8 * 86_400},
        {"backoff": "1s"},
    ],
)
def test_terms_out_of_range_are_refused_by_name(terms: dict[str, Any]) -> None:
    name = list(terms)[-1]
    with pytest.raises(SettingsError, match=rf"'a'.*{name}"):
        Dispatcher().job("a", **terms)


# --- Signatures --------------------------------------------------------------------------------


async def test_each_form_of_signature_gets_what_it_asks_for() -> None:
    async def both(job: JobContext, given: int) -> Any:
        return [job.id[:4], given]

    async def bare(job, given):  # type: ignore[no-untyped-def]  # without annotations on purpose
        return [job.id[:4], given]

    async def only_job(job: JobContext) -> str:
        return job.id[:4]

    async def only_input(given: int) -> int:
        return given

    async def nothing() -> str:
        return "done"

    async def with_default(given: int, factor: int = 2, *, more: int = 1) -> int:
        return given * factor + more

    assert await run(both, 3) == Succeeded(b'["job_",3]')
    assert await run(bare, 3) == Succeeded(b'["job_",3]')
    assert await run(only_job, 3) == Succeeded(b'"job_"')
    assert await run(only_input, 3) == Succeeded(b"3")
    assert await run(nothing, 3) == Succeeded(b'"done"')
    assert await run(with_default, 3) == Succeeded(b"7")


async def test_methods_partials_and_objects_are_handlers_too() -> None:
    class Service:
        async def method(self, given: int) -> int:
            return given + 1

        async def __call__(self, given: int) -> int:
            return given + 2

    def add(more: int, given: int) -> int:
        return given + more

    assert await run(Service().method, 1) == Succeeded(b"2")
    assert await run(Service(), 1) == Succeeded(b"3")
    assert await run(functools.partial(add, 3), 1) == Succeeded(b"4")
    assert type(runner_of(Service())) is PythonRunner


def _refused(function: Any) -> str:
    with pytest.raises(SettingsError) as caught:
        Dispatcher().job("a")(function)
    assert "The job type 'a'" in str(caught.value)
    return str(caught.value)


def test_signatures_that_cannot_be_used_say_what_to_write() -> None:
    async def three(job: JobContext, a: int, b: int) -> None: ...
    async def late(given: int, job: JobContext) -> None: ...
    async def two_inputs(a: int, b: int) -> None: ...
    async def unclear(thing) -> None: ...  # type: ignore[no-untyped-def]  # on purpose
    async def many(*args: int) -> None: ...
    async def keywords(**kwargs: int) -> None: ...
    async def keyword_only(*, a: int) -> None: ...
    async def unknown(a: Missing) -> None: ...  # type: ignore[name-defined]  # noqa: F821  # on purpose
    async def strange(a: Strange) -> None: ...
    async def strange_inside(a: list[Strange]) -> None: ...
    async def strange_result() -> Strange: ...  # type: ignore[empty-body]  # on purpose
    async def gives() -> AsyncIterator[int]:
        yield 1

    def gives_too() -> Iterator[int]:
        yield 1

    assert "takes 3 arguments" in _refused(three)
    assert "the JobContext comes first" in _refused(late)
    assert "annotate `a` as JobContext" in _refused(two_inputs)
    assert "is `thing` the job or the input?" in _refused(unclear)
    assert "can't take `*args: int`" in _refused(many)
    assert "can't take `**kwargs: int`" in _refused(keywords)
    assert "can't take `a: int`" in _refused(keyword_only)
    assert "'Missing' is not defined" in _refused(unknown)
    assert "no input can be read as Strange" in _refused(strange)
    assert "Use a dataclass" in _refused(strange_inside)
    assert "annotate the result as `Any`" in _refused(strange_result)
    assert "has a `yield`" in _refused(gives)
    assert "has a `yield`" in _refused(gives_too)
    assert "must be a function" in _refused(Strange)
    assert "must be a function" in _refused(3)
