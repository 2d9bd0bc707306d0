from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from dispatcher.adapters.runners.echo import EchoRunner
from dispatcher.core.outcome import Succeeded
from tests.runners.fakes import Recorder, leased


def _at_once(raw: bytes) -> object:
    """The outcome of a run that never waits."""
    try:
        EchoRunner().run(leased(raw=raw), Recorder()).send(None)
    except StopIteration as done:
        return done.value
    raise AssertionError


@given(st.binary())
def test_an_echo_is_its_input_byte_for_byte_and_waits_for_nothing(raw: bytes) -> None:
    assert _at_once(raw) == Succeeded(raw)


def test_the_type_of_echo_is_built_in_and_unbounded() -> None:
    echo = EchoRunner()
    assert (echo.type.name, echo.type.runner) == ("dispatcher.echo", "builtin")
    assert echo.type.name == EchoRunner.NAME
    assert echo.type.schema is None
    assert echo.type.concurrency is None
    assert echo.backoff.first_seconds == 1
