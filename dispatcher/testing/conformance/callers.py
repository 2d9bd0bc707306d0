"""Callers, their keys and secrets; types; the proof of the encryption key; the check."""

from __future__ import annotations

import asyncio
import hashlib

from dispatcher.core.model import ApiKey, Caller, JobType, Role
from dispatcher.testing.conformance.scene import Scene
from dispatcher.testing.conformance.values import MISCHIEF


def a_caller(scene: Scene, name: str, role: Role = Role.CALLER) -> tuple[Caller, ApiKey, bytes]:
    caller = Caller(scene.ids.new("clr"), name, scene.now)
    key = ApiKey(id=scene.ids.new("key"), caller_id=caller.id, role=role, created_at=scene.now)
    return caller, key, hashlib.sha256(key.id.encode()).digest()


class TestCallers:
    async def test_a_caller_is_found_by_key_id_and_name(self, scene: Scene) -> None:
        for role in Role:
            caller, key, digest = a_caller(scene, f"shop {role}", role)
            assert await scene.store.add_caller(caller, key, digest, bytes(range(256)))
            assert await scene.other.find_key(digest) == (key, caller)
            assert await scene.other.find_caller(caller.id) == caller
            assert await scene.other.find_caller(caller.name) == caller
            assert await scene.other.sealed_secrets(caller.id) == [bytes(range(256))]

    async def test_what_is_not_there_is_none(self, scene: Scene) -> None:
        assert await scene.store.find_key(b"\x00" * 32) is None
        for name in ("nobody", "", MISCHIEF, "ANN", "ann "):
            assert await scene.store.find_caller(name) is None
        assert await scene.store.sealed_secrets("clr_nobody") == []

    async def test_a_name_is_taken_once(self, scene: Scene) -> None:
        first, second = a_caller(scene, "shop"), a_caller(scene, "shop")
        assert await scene.store.add_caller(*first, b"one")
        assert not await scene.other.add_caller(*second, b"two")
        assert await scene.store.find_caller("shop") == first[0]
        assert await scene.store.find_caller(second[0].id) is None
        assert await scene.store.find_key(second[2]) is None
        assert await scene.store.sealed_secrets(second[0].id) == []

    async def test_a_name_is_taken_once_at_the_same_time(self, scene: Scene) -> None:
        answers = await asyncio.gather(
            *(
                store.add_caller(*a_caller(scene, "shop"), b"sealed")
                for store in (scene.store, scene.other) * 5
            )
        )
        assert sorted(answers) == [False] * 9 + [True]

    async def test_a_key_says_when_it_ended(self, scene: Scene) -> None:
        """The store answers all keys; whether one still counts is for the edge to say."""
        caller, key, digest = a_caller(scene, "shop")
        key = ApiKey(
            id=key.id,
            caller_id=caller.id,
            role=Role.OPERATOR,
            created_at=scene.now,
            expires_at=scene.now + 1,
            revoked_at=scene.now + 2,
        )
        await scene.store.add_caller(caller, key, digest, b"sealed")
        await scene.advance(1)
        assert await scene.store.find_key(digest) == (key, caller)


class TestTypes:
    async def test_they_are_listed_by_name_and_replaced(self, scene: Scene) -> None:
        full = JobType(
            name="z.last",
            runner="command",
            description=MISCHIEF,
            queue="slow",
            timeout_seconds=1.5,
            max_timeout_seconds=3.25,
            max_attempts=2,
            most_attempts=9,
            concurrency=4,
            schema=b'{ "type": "object" }',
            result_schema=b"true",
        )
        bare = JobType(name="a.first", runner="http")
        await scene.store.put_types([full, bare])
        types = await scene.other.list_types()
        assert [one.name for one in types] == sorted(one.name for one in types)
        assert (types[0], types[-1]) == (bare, full)
        changed = JobType(name="z.last", runner="remote")
        await scene.other.put_types([changed])
        assert (await scene.store.list_types())[-1] == changed
        assert len(await scene.store.list_types()) == len(types)


class TestKeyCheck:
    async def test_the_first_proof_stays(self, scene: Scene) -> None:
        assert await scene.store.key_check(None) is None
        assert await scene.store.key_check(b"first") == b"first"
        assert await scene.other.key_check(b"second") == b"first"
        assert await scene.other.key_check(None) == b"first"


class TestCheck:
    async def test_a_store_that_works_says_so(self, scene: Scene) -> None:
        before = await scene.backend.count_rows()
        for store in (scene.store, scene.other):
            for _ in range(3):
                await store.check()
        assert await scene.backend.count_rows() <= before + 1
