from __future__ import annotations

import dispatcher


def test_the_public_face_is_sorted_and_there() -> None:
    assert dispatcher.__all__ == sorted(dispatcher.__all__)
    assert dispatcher.__all__ == ["Cancel", "Dispatcher", "Fail", "JobContext", "Retry", "Snooze"]
    assert all(hasattr(dispatcher, name) for name in dispatcher.__all__)
