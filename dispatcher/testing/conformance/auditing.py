"""The audit log, and what is set for callers."""

from __future__ import annotations

import asyncio
import hashlib

from dispatcher.core.audit import Actor, AuditEntry, Via
from dispatcher.core.changes import AskCancel, Audited, EndDelivery, Redeliver
from dispatcher.core.model import ApiKey, Caller, DeliveryState, Role, ServiceKey
from dispatcher.core.quotas import CallerLimits, CallerTerms
from dispatcher.core.ratelimit import Rate
from dispatcher.core.retry import Schedule
from dispatcher.ports.audit import AUDIT_KEPT_SECONDS, AuditFilter
from dispatcher.ports.records import MOST_SECRETS, Addition, Applied, Stale
from dispatcher.testing.conformance.scene import Scene
from dispatcher.testing.conformance.values import ANN, BEN, MISCHIEF, TERMS

OPS = Actor(via=Via.API, caller_id=BEN, key_id="key_1", address="10.0.0.7", request_id="req_1")
SET = CallerTerms(
    limits=CallerLimits(rate=Rate(600, 60), jobs_waiting=1, bytes_waiting=2**50, body_bytes=2**30),
    schedule=Schedule((0.0, 0.25, 604_800.0)),
)


def an_entry(
    scene: Scene, action: str = "job.cancel", target: str = "job_1", caller_id: str | None = ANN
) -> AuditEntry:
    return AuditEntry(
        id=scene.ids.new("aud"),
        at=scene.now,
        action=action,
        target=target,
        actor=OPS,
        caller_id=caller_id,
        detail=b'{"why":"a test"}',
    )


async def log(scene: Scene, **members: object) -> list[AuditEntry]:
    """Every entry of a filter, newest first, through all pages of two."""
    found: list[AuditEntry] = []
    before = None
    while True:
        wanted = AuditFilter(**members)  # type: ignore[arg-type]  # as the tests name them
        page = await scene.other.list_audit(wanted, limit=2, before=before)
        assert len(page.items) <= 2
        found += page.items
        before = page.next
        if before is None:
            return found


class TestAuditLog:
    async def test_an_entry_comes_back_as_it_was_given(self, scene: Scene) -> None:
        whole = an_entry(scene, "some.thing", MISCHIEF)
        bare = AuditEntry(
            id="aud_2", at=0, action="x", target="y", actor=Actor(via=Via.CLI), detail=b"{}"
        )
        await scene.store.add_audit(whole)
        await scene.store.add_audit(bare)
        assert await log(scene) == [bare, whole]

    async def test_an_entry_is_written_once(self, scene: Scene) -> None:
        entry = an_entry(scene)
        answers = [
            await store.add_audit(entry) for store in (scene.store, scene.other, scene.store)
        ]
        assert answers == [True, False, False]
        assert await log(scene) == [entry]

    async def test_by_whose_it_is_who_did_it_what_and_when(self, scene: Scene) -> None:
        first = an_entry(scene)
        await scene.advance(1)
        second = an_entry(scene, "key.create", "key_2", BEN)
        await scene.advance(1)
        third = an_entry(scene, "job.cancel", "job_2", None)
        for each in (first, second, third):
            await scene.store.add_audit(each)
        assert await log(scene, caller_id=BEN) == [second]
        assert await log(scene, actor_id=BEN) == [third, second, first]
        assert await log(scene, actor_id=ANN) == []
        assert await log(scene, action="job.cancel") == [third, first]
        assert await log(scene, target="key_2") == [second]
        assert await log(scene, target="key_2", caller_id=ANN) == []
        assert await log(scene, created_after=first.at) == [third, second]
        assert await log(scene, created_before=third.at) == [second, first]

    async def test_it_is_pruned_after_its_time(self, scene: Scene) -> None:
        old = an_entry(scene)
        await scene.store.add_audit(old)
        await scene.advance(1)
        newer = an_entry(scene)
        await scene.store.add_audit(newer)
        await scene.advance(AUDIT_KEPT_SECONDS - 1.001)
        await scene.store.prune(10)
        assert await log(scene) == [newer, old]
        await scene.advance(0.001)
        await scene.store.prune(10)
        assert await log(scene) == [newer]


class TestAuditedChanges:
    async def test_what_is_applied_is_written_with_it(self, scene: Scene) -> None:
        leased = await scene.running()
        entry = an_entry(scene, target=leased.job.id)
        change = Audited(AskCancel(leased.job.id, scene.now), entry)
        for store in (scene.store, scene.other):  # sent again, as after a lost answer
            (answer,) = await store.apply([change], TERMS)
            assert isinstance(answer, Applied)
        assert (await scene.record(leased.job.id)).job.cancel_requested_at == scene.now
        assert await log(scene) == [entry]

    async def test_what_is_stale_is_not(self, scene: Scene) -> None:
        (job,) = await scene.add()
        await scene.apply(scene.end_waiting(job))
        (delivery_id,) = await scene.owed()
        changes = [
            Audited(AskCancel(job.id, scene.now), an_entry(scene)),
            Audited(scene.end_waiting(job), an_entry(scene)),
            Audited(Redeliver(delivery_id=delivery_id, round=2, at=scene.now), an_entry(scene)),
        ]
        answers = await scene.store.apply(changes, TERMS)
        assert answers == [Stale()] * 3
        assert await log(scene) == []

    async def test_each_change_has_its_own(self, scene: Scene) -> None:
        first, second = await scene.owed("https://one.example", "https://two.example")
        entries = [an_entry(scene, target=each) for each in (first, second)]
        changes = [
            Audited(EndDelivery(entry.target, DeliveryState.CANCELED, scene.now, 1), entry)
            for entry in entries
        ]
        answers = await scene.store.apply(changes, TERMS)
        assert [type(each) for each in answers] == [Applied, Applied]
        assert await log(scene) == entries[::-1]


class TestAuditedCallers:
    async def test_a_caller_and_its_keys(self, scene: Scene) -> None:
        caller = Caller(scene.ids.new("clr"), "shop", scene.now)
        key = ApiKey(
            id=scene.ids.new("key"), caller_id=caller.id, role=Role.CALLER, created_at=scene.now
        )
        made, taken = an_entry(scene, "caller.create"), an_entry(scene, "caller.create")
        digest = hashlib.sha256(b"1").digest()
        assert await scene.store.add_caller(caller, key, digest, b"s", made)
        assert not await scene.store.add_caller(caller, key, digest, b"s", taken)
        second = ApiKey(
            id=scene.ids.new("key"), caller_id=caller.id, role=Role.WORKER, created_at=scene.now
        )
        added, refused = an_entry(scene, "key.create"), an_entry(scene, "key.create")
        digest = hashlib.sha256(b"2").digest()
        assert await scene.store.add_key(second, digest, added) is Addition.ADDED
        nobody = ApiKey(id="key_x", caller_id="clr_x", role=Role.WORKER, created_at=scene.now)
        assert await scene.store.add_key(nobody, b"3" * 32, refused) is Addition.NO_CALLER
        gone, none = an_entry(scene, "key.revoke"), an_entry(scene, "key.revoke")
        assert await scene.store.revoke_key(caller.id, second.id, gone)
        assert not await scene.store.revoke_key(ANN, second.id, none)
        assert await log(scene) == [gone, added, made]

    async def test_secrets_and_the_service_s_keys(self, scene: Scene) -> None:
        rotated = [an_entry(scene, "secret.rotate") for _ in range(MOST_SECRETS)]
        for entry in rotated:
            await scene.store.rotate_secret(ANN, b"s", scene.now, overlap_seconds=60, entry=entry)
        own = ServiceKey(id="kid", public=b"p" * 32, created_at=scene.now)
        entry = an_entry(scene, "service-key.rotate", "kid", None)
        for _ in range(2):
            assert await scene.store.rotate_service_key(own, b"s", overlap_seconds=60, entry=entry)
        assert await log(scene) == [entry, *rotated[-2::-1]]  # the last was one too many


class TestTerms:
    async def test_what_is_set_comes_back_with_the_caller(self, scene: Scene) -> None:
        entry = an_entry(scene, "caller.change", ANN)
        assert await scene.store.set_terms(ANN, CallerTerms(), SET, entry)
        found = await scene.other.find_key(hashlib.sha256(b"ann").digest())
        assert found is not None
        by_id = await scene.other.get_caller(ANN)
        assert by_id is not None
        listed = (await scene.other.list_callers(limit=10, before=None)).items
        for caller in (found[1], await scene.other.find_caller("ann"), by_id.caller):
            assert caller is not None
            assert caller.terms == SET
        assert [each.caller.terms for each in listed] == [CallerTerms(), SET]
        assert by_id in listed
        assert await log(scene) == [entry]

    async def test_one_that_comes_with_the_caller(self, scene: Scene) -> None:
        caller = Caller(scene.ids.new("clr"), "shop", scene.now, SET)
        key = ApiKey(id="key_9", caller_id=caller.id, role=Role.CALLER, created_at=scene.now)
        assert await scene.store.add_caller(caller, key, b"9" * 32, b"s")
        assert await scene.other.find_caller("shop") == caller

    async def test_only_over_what_was_known(self, scene: Scene) -> None:
        other = CallerTerms(limits=CallerLimits(jobs_waiting=2))
        assert not await scene.store.set_terms(ANN, other, SET, an_entry(scene))
        assert not await scene.store.set_terms("clr_x", CallerTerms(), SET, an_entry(scene))
        assert await scene.store.set_terms(ANN, CallerTerms(), other)
        assert await scene.store.set_terms(ANN, other, CallerTerms())
        found = await scene.other.find_caller(ANN)
        assert found is not None
        assert found.terms == CallerTerms()
        assert await log(scene) == []

    async def test_of_many_at_once_one_is_set(self, scene: Scene) -> None:
        answers = await asyncio.gather(
            *(
                store.set_terms(
                    ANN, CallerTerms(), CallerTerms(limits=CallerLimits(jobs_waiting=number))
                )
                for number, store in enumerate((scene.store, scene.other) * 3, 1)
            )
        )
        assert sorted(answers) == [False] * 5 + [True]

    async def test_who_is_not_there_is_none(self, scene: Scene) -> None:
        for name in ("ann", "clr_x", "", MISCHIEF):
            assert await scene.store.get_caller(name) is None
