"""For all tests."""

from __future__ import annotations

import signal

import pytest

# Before anybody imports it: the suites of the conformance tests show what they compared.
pytest.register_assert_rewrite("dispatcher.testing.conformance")

from tests.databases import database  # noqa: E402  # it imports them

# A shell has what it begins in the background ignore Ctrl-C, and so would all that tests begin.
signal.signal(signal.SIGINT, signal.default_int_handler)

__all__ = ("database",)
