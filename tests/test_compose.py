"""The wiring: settings that depend on each other arrive together."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from dispatcher import compose
from dispatcher.adapters.system import SystemRandom
from dispatcher.compose.parts import sender_terms
from dispatcher.core.audit import CLI
from dispatcher.core.errors import SettingsError
from dispatcher.engine.service_keys import rotate_service_key
from dispatcher.settings import Settings
from dispatcher.stores import open_store
from dispatcher.testing.observer import RecordingObserver


@asynccontextmanager
async def served(
    folder: Path,
) -> AsyncIterator[tuple[compose.Running, aiohttp.ClientSession]]:
    """A service in this process, and a session with it."""
    settings = Settings(dev=True, port=0, store=f"sqlite:///{folder / 'dispatcher.db'}")
    async with AsyncExitStack() as opened:
        listening = opened.enter_context(compose.bind(settings))
        running = await opened.enter_async_context(
            compose.service(settings, None, listening, RecordingObserver())
        )
        session = await opened.enter_async_context(aiohttp.ClientSession(running.local_url))
        yield running, session


def test_there_is_a_connection_for_each_callback_that_is_sent_at_once() -> None:
    """Who waits in the pool for a connection is timed out, and that counts as a failed attempt."""
    for at_once in (1, 256, 5_000):
        assert sender_terms(Settings(deliveries_at_once=at_once)).connections >= at_once


async def test_the_store_goes_by_the_clock_and_the_ids_of_its_service(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of two clocks, neither of which runs backwards, one would be ahead once time was set back."""
    given: dict[str, Any] = {}

    def spied(*args: Any, **named: Any) -> Any:
        given.update(named)
        return open_store(*args, **named)

    monkeypatch.setattr("dispatcher.compose.open_store", spied)
    settings = Settings(dev=True, port=0, store=f"sqlite:///{tmp_path / 'dispatcher.db'}")
    with compose.bind(settings) as listening:
        async with compose.service(settings, None, listening, RecordingObserver()) as running:
            assert given["clock"] is running.services.clock
            assert given["ids"] is running.services.ids


@pytest.mark.parametrize(
    ("number", "told"), [(0, "another with --port"), (3, "others by metrics_port")]
)
def test_a_port_that_is_taken_is_told_with_the_setting_that_names_it(
    number: int, told: str
) -> None:
    with compose.bind(Settings(port=0)) as taken:
        taken.listen()
        port = taken.getsockname()[1]
        settings = Settings(port=port, metrics_port=port - 2)
        with pytest.raises(SettingsError, match=f"port {port} .*{told}"):
            compose.bind(settings, number)


async def test_what_is_changed_of_a_caller_holds_at_once(tmp_path: Path) -> None:
    """In the process that is asked for it too, which keeps what it looked up for some seconds."""
    async with served(tmp_path) as (_, session):

        async def ask(verb: str, path: str, key: str | None = None, **body: Any) -> tuple[int, Any]:
            headers = {} if key is None else {"Authorization": f"Bearer {key}"}
            asked = session.request(verb, path, json=body or None, headers=headers)
            async with asked as answer:
                return answer.status, await answer.json() if answer.status < 204 else None

        _, made = await ask("POST", "/v1/callers", name="tried")
        caller, key = f"/v1/callers/{made['id']}", made["key"]
        job: dict[str, Any] = {"type": "dispatcher.echo", "input": {"n": 1}}
        assert (await ask("POST", "/v1/jobs", key["apiKey"], **job))[0] == 202
        assert (await ask("PATCH", caller, limits={"bodyBytes": 9}))[0] == 200
        assert (await ask("POST", "/v1/jobs", key["apiKey"], **job))[0] == 413
        assert (await ask("DELETE", f"{caller}/keys/{key['id']}"))[0] == 204
        assert (await ask("GET", "/v1/jobs", key["apiKey"]))[0] == 401


async def test_a_rotated_key_is_shown_as_soon_as_others_tell_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a hint does, which comes on PostgreSQL."""
    monkeypatch.setattr("dispatcher.web.jwks.KEPT_SECONDS", 3600.0)
    async with served(tmp_path) as (running, session):

        async def shown() -> list[str]:
            async with session.get("/.well-known/jwks.json") as answer:
                return [key["kid"] for key in (await answer.json())["keys"]]

        before = await shown()
        here = running.services
        store: Any = here.store
        made = (here.vault, here.clock, SystemRandom(), here.ids, here.observer, CLI)
        await rotate_service_key(store, *made, overlap_seconds=0)
        tell: Any = here.callers.on_change
        tell("clr_of_another")
        assert await shown() == before
        tell(None)
        assert len(await shown()) == 1
        assert await shown() != before
