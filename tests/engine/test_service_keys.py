"""The service's own key: made once, sealed, told when it is damaged, and signing every callback."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from dispatcher.adapters.secrets import AesVault
from dispatcher.adapters.system import SystemRandom
from dispatcher.core.audit import CLI
from dispatcher.core.ed25519 import PrivateKey, PublicKey
from dispatcher.core.errors import SecretsUnreadable, StoreUnavailable, TooMany
from dispatcher.core.facts import DeliveryAttemptEnded, StoreFailed
from dispatcher.core.model import DeliveryState, ServiceKey
from dispatcher.core.signature import verify
from dispatcher.engine.service_keys import ensure_service_key, rotate_service_key
from dispatcher.ports.records import MOST_SECRETS, OVERLAP_SECONDS
from tests.databases import ON_SQLITE
from tests.engine.conftest import Stages
from tests.engine.stage import FAILS, OK, SECRET, URL, Stage

RANDOM = SystemRandom()


async def keys_of(stage: Stage) -> list[PublicKey]:
    return [PublicKey(key.public) for key, _ in await stage.store.service_keys()]


async def rotated(stage: Stage, overlap_seconds: float = OVERLAP_SECONDS) -> ServiceKey:
    return await rotate_service_key(
        stage.store,
        stage.vault,
        stage.clock,
        RANDOM,
        stage.ids,
        stage.observer,
        CLI,
        overlap_seconds=overlap_seconds,
    )


def everything_in(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in folder.glob("dispatcher.db*"))


async def test_the_first_start_makes_it_and_the_next_keeps_it(stages: Stages) -> None:
    first = await stages.start()
    (key,) = await first.store.service_keys()
    assert key[0].id == PublicKey(key[0].public).thumbprint
    assert key[0].created_at == first.clock.now()
    second = await stages.make(beside=first).start()
    assert await second.store.service_keys() == [key]


async def test_nodes_that_start_at_once_agree_on_one(stages: Stages) -> None:
    stage = await stages.make().open()
    others = [await stages.make(beside=stage).open() for _ in range(3)]
    await asyncio.gather(
        *(
            ensure_service_key(each.store, each.vault, each.clock, RANDOM)
            for each in (stage, *others)
        )
    )
    assert len(await stage.store.service_keys()) == 1


@ON_SQLITE  # whose files are read; it is given the same bytes on both
async def test_the_private_key_is_not_in_the_database(stages: Stages, tmp_path: Path) -> None:
    stage = await stages.make().open()
    seed = bytes(range(100, 132))

    class Chosen(SystemRandom):
        def token(self, size: int) -> bytes:
            return seed[:size]

    await ensure_service_key(stage.store, stage.vault, stage.clock, Chosen())
    key = PrivateKey(seed)
    (public,) = await keys_of(stage)
    assert public.raw == key.public.raw
    content = everything_in(tmp_path)
    assert key.public.raw in content
    assert seed not in content
    assert key.reveal()[5:40].encode() not in content


async def test_every_attempt_is_signed_with_it(stages: Stages) -> None:
    stage = await stages.start()
    stage.sender.answers[URL] = [FAILS, OK]
    await stage.submit()
    await stage.seen(DeliveryAttemptEnded)
    stage.advance(5)
    (public,) = await keys_of(stage)
    for callout in await stage.sender.until(2):
        now = stage.clock.now()
        headers = dict(callout.headers)
        verify([SECRET], headers, callout.body, now=now, public_keys=[public])
        elements = headers["webhook-signature"].split(" ")
        assert [each.partition(",")[0] for each in elements] == ["v1", "v1a"]


async def test_a_rotation_is_noticed_and_both_sign_until_the_old_one_ends(stages: Stages) -> None:
    stage = await stages.start(secrets_seconds=5.0)
    await stage.submit()
    (old,) = await keys_of(stage)
    await stage.sender.until(1)
    await rotated(stage, overlap_seconds=60)
    new, same = await keys_of(stage)
    assert same.raw == old.raw
    stage.advance(5.001)
    await stage.submit()
    callout = (await stage.sender.until(2))[-1]
    for key in (new, old):
        now = stage.clock.now()
        verify([], dict(callout.headers), callout.body, now=now, public_keys=[key])
    stage.advance(60)
    await stage.submit()
    callout = (await stage.sender.until(3))[-1]
    signature = dict(callout.headers)["webhook-signature"]
    assert signature.count("v1a,") == 1
    verify([], dict(callout.headers), callout.body, now=stage.clock.now(), public_keys=[new])


async def test_too_many_rotations_are_refused(stages: Stages) -> None:
    stage = await stages.make().open()
    for _ in range(MOST_SECRETS):
        await rotated(stage)
    with pytest.raises(TooMany, match="overlap of 0"):
        await rotated(stage)
    last = await rotated(stage, overlap_seconds=0)
    assert [key for key, _ in await stage.store.service_keys()] == [last]


async def test_another_encryption_key_is_told_at_the_start(stages: Stages) -> None:
    stage = await stages.make().open()
    await ensure_service_key(stage.store, stage.vault, stage.clock, RANDOM)
    stage.engine._vault = AesVault(bytes(32))
    with pytest.raises(SecretsUnreadable, match="another key"):
        await stage.engine.start()


@pytest.mark.parametrize("content", [b"garbage", "whsk_\u00e9".encode(), "other"])
async def test_a_damaged_key_is_told_with_what_to_do(stages: Stages, content: bytes | str) -> None:
    stage = await stages.make().open()
    public = PrivateKey(bytes(32)).public
    key = ServiceKey(id=public.thumbprint, public=public.raw, created_at=0)
    other = PrivateKey(b"o" * 32).reveal().encode()
    plain = content if isinstance(content, bytes) else other
    await stage.store.add_service_key(key, stage.vault.seal(plain, key.id))
    with pytest.raises(SecretsUnreadable, match="dispatcher keys rotate --overlap 0"):
        await ensure_service_key(stage.store, stage.vault, stage.clock, RANDOM)
    await rotated(stage, overlap_seconds=0)
    await ensure_service_key(stage.store, stage.vault, stage.clock, RANDOM)


async def test_keys_that_can_not_be_read_delay_a_callback_and_use_up_nothing(
    stages: Stages,
) -> None:
    stage = await stages.start()
    stage.faults.fail("service_keys", error=StoreUnavailable("disk full"))
    job = await stage.submit()
    (failed,) = await stage.seen(StoreFailed)
    assert failed.during.startswith("signing")
    await stage.rest()
    waiting = await stage.delivery(job)
    assert (waiting.state, waiting.attempt_count) == (DeliveryState.PENDING, 0)
    stage.advance(10.0)
    await stage.seen(DeliveryAttemptEnded)


async def test_it_is_read_once_in_a_while(stages: Stages) -> None:
    stage = await stages.start()
    before = stage.faults.calls["service_keys"]
    await asyncio.gather(*(stage.submit() for _ in range(20)))
    await stage.seen(DeliveryAttemptEnded, count=20)
    assert stage.faults.calls["service_keys"] == before + 1
