"""Hints between processes on a real PostgreSQL."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager

import asyncpg
import pytest

from dispatcher.adapters.postgres.hints import PAYLOAD_BYTES, Pace, PostgresHints, tell_once
from dispatcher.adapters.postgres.looking import look
from dispatcher.adapters.secrets import new_key
from dispatcher.adapters.system import SystemRandom
from dispatcher.cli.main import main
from dispatcher.core.facts import StoreFailed, StoreRecovered
from dispatcher.ports.hints import EVERY_TOPIC, Hint, Topic
from dispatcher.testing.observer import RecordingObserver
from tests.store.postgres_server import empty_database

SECONDS = 10.0
ANYTHING = Hint(Topic.ANYTHING)


class Node:
    """One process: what it publishes, and what it hears."""

    def __init__(self, url: str, name: str) -> None:
        self.observer = RecordingObserver()
        self.hints = PostgresHints(url, name=name, observer=self.observer)
        self.heard: list[Hint] = []
        self._came = asyncio.Event()

    def hear(self, hint: Hint) -> None:
        self.heard.append(hint)
        self._came.set()

    async def until(self, done: Callable[[], bool]) -> None:
        async with asyncio.timeout(SECONDS):
            while not done():
                self._came.clear()
                await self._came.wait()

    async def until_heard(self, hint: Hint) -> None:
        await self.until(lambda: hint in self.heard)

    async def until_met(self, *others: Node) -> None:
        """Each hears the others: whoever hears nobody yet tries again."""
        for other in others:
            word = Hint(Topic.JOB, f"met-{other.hints._name}")
            async with asyncio.timeout(SECONDS):
                while word not in other.heard:
                    self.hints.publish(*word)
                    await asyncio.sleep(0)


@asynccontextmanager
async def nodes(
    url: str, *topics: frozenset[Topic], names: str = "abc"
) -> AsyncIterator[list[Node]]:
    async with AsyncExitStack() as opened:
        made = [Node(url, name) for name, _ in zip(names, topics, strict=False)]
        for node, wanted in zip(made, topics, strict=True):
            await opened.enter_async_context(node.hints.listening(node.hear, wanted))
            await node.until_heard(ANYTHING)  # it is connected
        for node in made:
            await node.until_met(*(each for each in made if each is not node))
        yield made


@pytest.fixture
async def url() -> AsyncIterator[str]:
    async with empty_database() as made:
        yield made


async def test_others_hear_what_one_publishes_and_itself_does_not(url: str) -> None:
    async with nodes(url, EVERY_TOPIC, EVERY_TOPIC, EVERY_TOPIC) as (one, other, third):
        known = len(one.heard)
        one.hints.publish(Topic.JOB, "job_1")
        one.hints.publish(Topic.WORK)
        for each in (other, third):
            await each.until_heard(Hint(Topic.JOB, "job_1"))
            await each.until_heard(Hint(Topic.WORK))
        other.hints.publish(Topic.WORK, "mail.send")
        await one.until_heard(Hint(Topic.WORK, "mail.send"))
        assert Hint(Topic.JOB, "job_1") not in one.heard[known:]


async def test_what_is_said_again_meanwhile_is_sent_once(url: str) -> None:
    async with nodes(url, EVERY_TOPIC, EVERY_TOPIC) as (one, other):
        for _ in range(100):
            one.hints.publish(Topic.SENDING)
        one.hints.publish(Topic.CANCEL, "job_9")
        await other.until_heard(Hint(Topic.CANCEL, "job_9"))
        assert other.heard.count(Hint(Topic.SENDING)) == 1


async def test_each_notification_is_paced(url: str) -> None:
    rested = asyncio.Event()

    class Told(Pace):
        def rest(self, now: float) -> float:
            rested.set()
            return super().rest(now)

    async with nodes(url, EVERY_TOPIC, EVERY_TOPIC) as (one, other):
        one.hints._pace = Told()
        one.hints.publish(Topic.CANCEL, "job_1")
        await other.until_heard(Hint(Topic.CANCEL, "job_1"))
        async with asyncio.timeout(SECONDS):
            await rested.wait()


async def test_what_nobody_listens_to_is_not_sent(url: str) -> None:
    quiet = frozenset({Topic.JOB, Topic.CANCEL})
    async with nodes(url, EVERY_TOPIC, quiet) as (one, other):
        one.hints.publish(Topic.WORK, "mail.send")
        one.hints.publish(Topic.CANCEL, "job_1")
        assert set(one.hints._pending) <= {"cjob_1", "jmet-b"}
        await other.until_heard(Hint(Topic.CANCEL, "job_1"))


async def test_who_is_alone_sends_nothing(url: str) -> None:
    async with nodes(url, EVERY_TOPIC) as (one,):
        one.hints.publish(Topic.JOB, "job_1")
        assert not one.hints._pending


async def test_who_has_gone_is_not_told_any_more(url: str) -> None:
    async with nodes(url, EVERY_TOPIC) as (one,):
        async with nodes(url, EVERY_TOPIC, names="b") as (other,):
            await one.until_met(other)
            assert one.hints._wanted
        async with asyncio.timeout(SECONDS):
            while one.hints._wanted:
                one.hints.publish(Topic.SENDING)
                await asyncio.sleep(0)


async def test_more_than_a_notification_takes_becomes_anything(url: str) -> None:
    async with nodes(url, EVERY_TOPIC, EVERY_TOPIC) as (one, other):
        for n in range(PAYLOAD_BYTES // 10):
            one.hints.publish(Topic.JOB, f"job_{n:032x}")
        await other.until(lambda: other.heard.count(ANYTHING) == 2)
        assert not any(hint.id.startswith("job_") for hint in other.heard)
        one.hints.publish(Topic.JOB, "job_1")
        await other.until_heard(Hint(Topic.JOB, "job_1"))


async def test_a_connection_that_is_lost_is_made_anew_and_rings_everything(url: str) -> None:
    async with nodes(url, EVERY_TOPIC, EVERY_TOPIC) as (one, other):
        other.heard.clear()
        operator = await asyncpg.connect(url)
        try:
            await operator.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
        finally:
            await operator.close()
        await other.until_heard(ANYTHING)
        other.heard.clear()
        await one.until_met(other)


async def test_without_a_database_it_tries_again_and_says_so_once(url: str) -> None:
    node = Node(url.replace("/empty_", "/missing_"), "a")
    async with node.hints.listening(node.hear):
        await node.observer.until(StoreFailed)
        operator = await asyncpg.connect(url)
        name = url.partition("?")[0].rpartition("/")[2].replace("empty_", "missing_")
        try:
            await operator.execute(f"CREATE DATABASE {name}")
            await node.until_heard(ANYTHING)
            await node.observer.until(StoreRecovered)
            assert len(node.observer.all(StoreFailed)) == 1
        finally:
            await operator.execute(f"DROP DATABASE {name} WITH (FORCE)")
            await operator.close()


# --- commands ----------------------------------------------------------------------------------


async def test_what_commands_change_is_heard_at_once(
    url: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("DISPATCHER_STORE", url)
    monkeypatch.setenv("DISPATCHER_SECRET_KEY", new_key(SystemRandom()))

    async def run(*words: str) -> dict[str, str]:
        capsys.readouterr()
        assert await asyncio.to_thread(main, [*words, "--json"]) == 0
        made: dict[str, str] = json.loads(capsys.readouterr().out)
        return made

    async with nodes(url, EVERY_TOPIC) as (node,):
        made = await run("callers", "create", "shop")
        of_caller = Hint(Topic.CALLER, made["id"])
        await node.until_heard(of_caller)
        for words in (
            ("limits", "shop", "--rate", "5/1"),
            ("rotate-secret", "shop"),
            ("keys", "revoke", "shop", made["keyId"]),
        ):
            node.heard.clear()
            await run("callers", *words)
            await node.until_heard(of_caller)
        await run("keys", "rotate")
        await node.until_heard(Hint(Topic.SERVICE_KEYS))


async def test_a_command_that_reads_leaves_an_empty_database_empty(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    async with empty_database() as empty:
        monkeypatch.setenv("DISPATCHER_STORE", empty)
        monkeypatch.setenv("DISPATCHER_SECRET_KEY", new_key(SystemRandom()))
        assert await asyncio.to_thread(main, ["callers", "list"]) == 1
        assert "there is no database at postgresql://" in capsys.readouterr().err
        assert (await look(empty)).schema is None


async def test_more_than_one_notification_holds_is_a_hint_at_everything(url: str) -> None:
    async with nodes(url, EVERY_TOPIC) as (node,):
        node.heard.clear()
        await tell_once(url, "command", [Hint(Topic.CALLER, f"clr_{n}") for n in range(2_000)])
        await node.until_heard(ANYTHING)
        assert node.heard == [ANYTHING]


async def test_a_command_that_reaches_no_database_any_more_ends_all_the_same() -> None:
    await tell_once("postgresql://u@127.0.0.1:1/gone", "command", [Hint(Topic.SERVICE_KEYS)])
