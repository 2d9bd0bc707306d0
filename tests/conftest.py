"""For all tests."""

from __future__ import annotations

import pytest

# Before anybody imports it: the suites of the conformance tests show what they compared.
pytest.register_assert_rewrite("dispatcher.testing.conformance")
