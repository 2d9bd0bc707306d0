"""Keys and secrets that come, overlap and end: of callers, and the service's own."""

from __future__ import annotations

import asyncio
import hashlib

from dispatcher.core.model import ApiKey, Instant, Role, ServiceKey
from dispatcher.ports.records import MOST_KEYS, MOST_SECRETS, Addition, SecretRecord
from dispatcher.testing.conformance.scene import Scene
from dispatcher.testing.conformance.values import ANN, BEN, MISCHIEF, raise_first

NOBODY = "clr_nobody"


def a_key(
    scene: Scene, *, caller_id: str = ANN, expires_at: Instant | None = None
) -> tuple[ApiKey, bytes]:
    key = ApiKey(
        id=scene.ids.new("key"),
        caller_id=caller_id,
        role=Role.OPERATOR,
        created_at=scene.now,
        expires_at=expires_at,
    )
    return key, hashlib.sha256(key.id.encode()).digest()


def a_service_key(scene: Scene, name: str) -> tuple[ServiceKey, bytes]:
    public = hashlib.sha256(name.encode()).digest()
    return ServiceKey(id=name, public=public, created_at=scene.now), b"sealed " + name.encode()


async def keys_of(scene: Scene, caller_id: str = ANN) -> list[str]:
    """The ids of a caller's keys in the list, but for the one that it came with."""
    page = await scene.other.list_callers(limit=100, before=None)
    (record,) = (each for each in page.items if each.caller.id == caller_id)
    return [key.id for key in record.keys if key.role is Role.OPERATOR]


class TestKeysOfCallers:
    async def test_a_caller_has_many(self, scene: Scene) -> None:
        keys = []
        for _ in range(3):
            await scene.advance(1)
            key, digest = a_key(scene, expires_at=scene.now + 60_000)
            assert await scene.store.add_key(key, digest) is Addition.ADDED
            found = await scene.other.find_key(digest)
            assert found is not None
            assert found[0] == key
            assert found[1].id == ANN
            keys.append(key.id)
        assert await keys_of(scene) == keys[::-1]
        assert await keys_of(scene, BEN) == []

    async def test_nobody_has_none(self, scene: Scene) -> None:
        for stranger in (NOBODY, "", "ann", MISCHIEF):
            key, digest = a_key(scene, caller_id=stranger)
            assert await scene.store.add_key(key, digest) is Addition.NO_CALLER
            assert await scene.store.find_key(digest) is None

    async def test_one_that_is_revoked_stays_so(self, scene: Scene) -> None:
        (key, digest), (kept, kept_digest) = a_key(scene), a_key(scene)
        await scene.store.add_key(key, digest)
        await scene.store.add_key(kept, kept_digest)
        await scene.advance(1)
        at = scene.now
        assert await scene.other.revoke_key(ANN, key.id)
        await scene.advance(1)
        assert await scene.store.revoke_key(ANN, key.id)
        found = await scene.store.find_key(digest)
        assert found is not None
        assert found[0].revoked_at == at
        assert await keys_of(scene) == [kept.id]
        found = await scene.store.find_key(kept_digest)
        assert found is not None
        assert found[0].revoked_at is None

    async def test_only_its_own_caller_s(self, scene: Scene) -> None:
        key, digest = a_key(scene)
        await scene.store.add_key(key, digest)
        for caller_id, key_id in ((BEN, key.id), (ANN, "key_none"), (NOBODY, key.id)):
            assert not await scene.store.revoke_key(caller_id, key_id)
        found = await scene.store.find_key(digest)
        assert found is not None
        assert found[0].revoked_at is None

    async def test_those_that_ended_are_not_listed(self, scene: Scene) -> None:
        key, digest = a_key(scene, expires_at=scene.now + 1_000)
        await scene.store.add_key(key, digest)
        await scene.advance(0.999)
        assert await keys_of(scene) == [key.id]
        await scene.advance(0.001)
        assert await keys_of(scene) == []
        assert await scene.store.find_key(digest) is not None

    async def test_not_more_than_there_may_be(self, scene: Scene) -> None:
        """The first came with the caller; those that ended or were revoked don't count."""
        keys = [a_key(scene, expires_at=scene.now + 1_000) for _ in range(MOST_KEYS - 2)]
        keys.append(a_key(scene))
        for each in keys:
            assert await scene.store.add_key(*each) is Addition.ADDED
        key, digest = a_key(scene)
        assert await scene.store.add_key(key, digest) is Addition.TOO_MANY
        assert await scene.store.find_key(digest) is None
        assert await scene.store.add_key(*a_key(scene, caller_id=BEN)) is Addition.ADDED
        await scene.store.revoke_key(ANN, keys[-1][0].id)
        assert await scene.store.add_key(key, digest) is Addition.ADDED
        assert await scene.store.add_key(*a_key(scene)) is Addition.TOO_MANY
        await scene.advance(1)
        assert await scene.store.add_key(*a_key(scene)) is Addition.ADDED


class TestListsOfCallers:
    async def test_newest_first_page_by_page(self, scene: Scene) -> None:
        names, before = [], None
        while True:
            page = await scene.store.list_callers(limit=1, before=before)
            names += [record.caller.name for record in page.items]
            before = page.next
            if before is None:
                break
        assert names == ["ben", "ann"]
        whole = await scene.store.list_callers(limit=2, before=None)
        assert [record.caller.id for record in whole.items] == [BEN, ANN]
        assert whole.next is None

    async def test_with_their_keys_and_secrets(self, scene: Scene) -> None:
        (record, _) = (await scene.store.list_callers(limit=2, before=None)).items
        (key,) = record.keys
        assert (key.caller_id, key.role, key.created_at) == (BEN, Role.CALLER, scene.now)
        assert record.secrets == (SecretRecord(scene.now, None),)


class TestRotatingSecrets:
    async def test_the_old_ones_sign_until_the_overlap_ends(self, scene: Scene) -> None:
        added = await scene.store.rotate_secret(ANN, b"second", scene.now, overlap_seconds=60)
        assert added is Addition.ADDED
        assert await scene.other.sealed_secrets(ANN) == [b"second", b"sealed ann"]
        (_, record) = (await scene.other.list_callers(limit=2, before=None)).items
        assert record.secrets == (
            SecretRecord(scene.now, None),
            SecretRecord(scene.now, scene.now + 60_000),
        )
        await scene.advance(59.999)
        assert await scene.other.sealed_secrets(ANN) == [b"second", b"sealed ann"]
        await scene.advance(0.001)
        assert await scene.other.sealed_secrets(ANN) == [b"second"]
        assert await scene.store.sealed_secrets(BEN) == [b"sealed ben"]

    async def test_a_later_rotation_lets_none_live_longer(self, scene: Scene) -> None:
        await scene.store.rotate_secret(ANN, b"second", scene.now, overlap_seconds=10)
        await scene.store.rotate_secret(ANN, b"third", scene.now, overlap_seconds=60)
        assert await scene.store.sealed_secrets(ANN) == [b"third", b"second", b"sealed ann"]
        await scene.advance(10)
        assert await scene.store.sealed_secrets(ANN) == [b"third", b"second"]
        await scene.store.rotate_secret(ANN, b"fourth", scene.now, overlap_seconds=1)
        await scene.advance(1)
        assert await scene.store.sealed_secrets(ANN) == [b"fourth"]

    async def test_without_an_overlap_they_end_at_once_and_are_erased(self, scene: Scene) -> None:
        before = await scene.backend.count_rows()
        for number in range(20):
            sealed = b"%d" % number
            await scene.store.rotate_secret(ANN, sealed, scene.now, overlap_seconds=0)
            assert await scene.store.sealed_secrets(ANN) == [sealed]
        assert await scene.backend.count_rows() == before

    async def test_not_more_than_there_may_be(self, scene: Scene) -> None:
        for number in range(1, MOST_SECRETS):
            added = await scene.store.rotate_secret(
                ANN, b"%d" % number, scene.now, overlap_seconds=60
            )
            assert added is Addition.ADDED
        before = await scene.store.sealed_secrets(ANN)
        assert len(before) == MOST_SECRETS
        refused = await scene.store.rotate_secret(ANN, b"x", scene.now, overlap_seconds=1)
        assert refused is Addition.TOO_MANY
        await scene.advance(59)
        assert await scene.store.sealed_secrets(ANN) == before
        added = await scene.store.rotate_secret(ANN, b"x", scene.now, overlap_seconds=0)
        assert added is Addition.ADDED
        assert await scene.store.sealed_secrets(ANN) == [b"x"]

    async def test_nobody_has_none(self, scene: Scene) -> None:
        answer = await scene.store.rotate_secret(NOBODY, b"x", scene.now, overlap_seconds=60)
        assert answer is Addition.NO_CALLER
        assert await scene.store.sealed_secrets(NOBODY) == []

    async def test_at_once_from_two_stores(self, scene: Scene) -> None:
        answers = await asyncio.gather(
            *(
                store.rotate_secret(ANN, b"%d" % number, scene.now, overlap_seconds=60)
                for number, store in enumerate((scene.store, scene.other) * 2)
            )
        )
        assert answers == [Addition.ADDED] * 4
        (_, record) = (await scene.store.list_callers(limit=2, before=None)).items
        assert len(record.secrets) == MOST_SECRETS
        assert [each.expires_at is None for each in record.secrets] == [True] + [False] * 4


class TestServiceKeys:
    async def test_there_is_none_at_first(self, scene: Scene) -> None:
        assert await scene.store.service_keys() == []

    async def test_the_first_is_added_once(self, scene: Scene) -> None:
        names = [f"kid {number}" for number in range(10)]
        answers = raise_first(
            await asyncio.gather(
                *(
                    store.add_service_key(*a_service_key(scene, name))
                    for name, store in zip(names, (scene.store, scene.other) * 5, strict=True)
                )
            )
        )
        assert sorted(answers) == [False] * 9 + [True]
        (kept,) = await scene.store.service_keys()
        assert kept == a_service_key(scene, names[answers.index(True)])

    async def test_the_old_ones_sign_until_the_overlap_ends(self, scene: Scene) -> None:
        first, second = a_service_key(scene, "first"), a_service_key(scene, "second")
        assert await scene.store.add_service_key(*first)
        assert await scene.store.rotate_service_key(*second, overlap_seconds=60)
        newest, older = await scene.other.service_keys()
        assert newest == second
        assert older[0].id == "first"
        assert older[0].retired_at == scene.now + 60_000
        assert older[1] == first[1]
        await scene.advance(60)
        assert await scene.other.service_keys() == [second]
        assert not await scene.store.add_service_key(*a_service_key(scene, "third"))

    async def test_a_rotation_may_make_the_first(self, scene: Scene) -> None:
        key = a_service_key(scene, "first")
        assert await scene.store.rotate_service_key(*key, overlap_seconds=60)
        assert await scene.store.service_keys() == [key]

    async def test_a_rotation_sent_again_changes_nothing(self, scene: Scene) -> None:
        first, second = a_service_key(scene, "first"), a_service_key(scene, "second")
        await scene.store.add_service_key(*first)
        assert await scene.store.rotate_service_key(*second, overlap_seconds=60)
        before = await scene.store.service_keys()
        assert await scene.other.rotate_service_key(*second, overlap_seconds=0)
        assert await scene.store.service_keys() == before

    async def test_not_more_than_there_may_be(self, scene: Scene) -> None:
        for number in range(MOST_SECRETS):
            key = a_service_key(scene, f"kid {number}")
            assert await scene.store.rotate_service_key(*key, overlap_seconds=60)
        before = await scene.store.service_keys()
        assert len(before) == MOST_SECRETS
        last = a_service_key(scene, "last")
        assert not await scene.store.rotate_service_key(*last, overlap_seconds=1)
        assert await scene.store.service_keys() == before
        rows = await scene.backend.count_rows()
        assert await scene.store.rotate_service_key(*last, overlap_seconds=0)
        assert await scene.store.service_keys() == [last]
        assert await scene.backend.count_rows() == rows - MOST_SECRETS + 1
