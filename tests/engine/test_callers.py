"""API keys as text; what is done about callers is tried through the API (`tests/web`)."""

from __future__ import annotations

import hashlib

from dispatcher.adapters.system import SystemRandom
from dispatcher.engine.callers import digest_of, new_api_key

RANDOM = SystemRandom()


def test_an_api_key_and_its_digest() -> None:
    text, digest = new_api_key(RANDOM)
    assert text.startswith("dsp_")
    assert len(text) == 4 + 43
    assert digest == hashlib.sha256(text.encode()).digest() == digest_of(text)
    assert new_api_key(RANDOM)[0] != text
