"""For all tests."""

from __future__ import annotations

import faulthandler
import os
import signal
from collections.abc import Iterator

import pytest

# Before anybody imports it: the suites of the conformance tests show what they compared.
pytest.register_assert_rewrite("dispatcher.testing.conformance")

from tests.databases import database  # noqa: E402  # it imports them

# A shell has what it begins in the background ignore Ctrl-C, and so would all that tests begin.
signal.signal(signal.SIGINT, signal.default_int_handler)

CLEARING_SECONDS = 120
"""So long a test may clear up. Its `timeout` may be used up by then, or can't interrupt what it
waits for, and a run that hangs says nothing at all."""

__all__ = ("FailuresAtOnce", "HangsEnd", "database")


class FailuresAtOnce:
    """Shows why a test failed as soon as it did: a run that is cut off has no summary."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        terminal = self._config.pluginmanager.get_plugin("terminalreporter")
        if report.failed and terminal is not None:
            terminal.ensure_newline()
            terminal.write_line(f"{report.nodeid} failed at its {report.when}:")
            terminal.write_line(report.longreprtext)


class HangsEnd:
    """Ends the process of a test that hangs while it clears up, and says where.

    pytest's own watch (`faulthandler_timeout`) is called off by any failure. What the process had
    begun (services, a PostgreSQL) is left behind, to be looked at.
    """

    def __init__(self, output: int) -> None:
        self._output = output

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_teardown(self) -> Iterator[None]:
        faulthandler.dump_traceback_later(CLEARING_SECONDS, file=self._output, exit=True)
        try:
            yield
        finally:
            faulthandler.cancel_dump_traceback_later()


def pytest_configure(config: pytest.Config) -> None:
    capturing = config.pluginmanager.get_plugin("capturemanager")
    assert capturing is not None
    with capturing.global_and_fixture_disabled():
        config.pluginmanager.register(HangsEnd(os.dup(2)))
    config.pluginmanager.register(FailuresAtOnce(config))
