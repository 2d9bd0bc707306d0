"""The suite that every store must pass, written from the contract in `dispatcher.ports.store`.

Each sentence of the contract is tried: by scenarios (the `Test…` classes, one a subject, each
through two stores open on one database), and by a Hypothesis state machine that drives two stores
against a model of dictionaries, with crashes, leases that end, and tokens used too late.

**How a new store plugs in.** Write a `Backend` (see `backend.py`: make an empty database, open
stores on it, move their clock), then one test module with two things:

    from dispatcher.testing.conformance import *  # the suites, and the fixture they use

    @pytest.fixture
    def backend() -> Backend:
        return MyBackend()

    TestStateful = stateful(MyBackend)  # better in a module of its own: it takes half a minute

pytest collects the imported classes, those to come as well. It needs `asyncio_mode = "auto"` of
pytest-asyncio, and in `conftest.py`, for readable failures,
`pytest.register_assert_rewrite("dispatcher.testing.conformance")`.

The clock must be the test's own, since leases end by the thousand. A database that goes by its own
clock needs a way to be told the time in tests; `Backend.now` and `Backend.advance` are that way.

`CONFORMANCE_EXAMPLES` and `CONFORMANCE_STEPS` in the environment make the state machine's run
longer (60 examples of 40 steps by default).
"""

from __future__ import annotations

from dispatcher.testing.conformance.adding import TestAdding, TestHandOffOfJobs, TestIdempotency
from dispatcher.testing.conformance.auditing import (
    TestAuditedCallers,
    TestAuditedChanges,
    TestAuditLog,
    TestTerms,
)
from dispatcher.testing.conformance.backend import Backend, ShuffledIds
from dispatcher.testing.conformance.backlog import TestBacklog
from dispatcher.testing.conformance.breakers import (
    TestBreakerOfADestination,
    TestBreakerOfAUrl,
    TestRate,
    TestRoomOfCallers,
    TestTurns,
)
from dispatcher.testing.conformance.bulk import TestBulkSteps, TestSelecting
from dispatcher.testing.conformance.callers import TestCallers, TestCheck, TestKeyCheck, TestTypes
from dispatcher.testing.conformance.changing import (
    TestAskingToCancel,
    TestFinishing,
    TestNoting,
    TestReleasing,
    TestSentAgain,
)
from dispatcher.testing.conformance.claiming import (
    TestClaimingJobs,
    TestDueTimes,
    TestLanesInTurn,
    TestOrderOfJobs,
)
from dispatcher.testing.conformance.credentials import (
    TestKeysOfCallers,
    TestListsOfCallers,
    TestRotatingSecrets,
    TestServiceKeys,
)
from dispatcher.testing.conformance.dead import TestDeadDeliveries, TestPruningEventsOfNoJob
from dispatcher.testing.conformance.delivering import (
    TestHandedOverBetweenProcesses,
    TestHandOffOfDeliveries,
    TestLeasedDeliveries,
    TestRecordingAttempts,
    TestUnknownAttempts,
)
from dispatcher.testing.conformance.destinations import TestDestinations, TestHandingOn
from dispatcher.testing.conformance.durability import (
    TestDurability,
    TestEachItemAlone,
    TestManyAtOnce,
)
from dispatcher.testing.conformance.endpoints import TestEventsOfEndpoints, TestKeepingEndpoints
from dispatcher.testing.conformance.erasing import TestErasing, TestWhatWasErased
from dispatcher.testing.conformance.feeding import (
    TestErasedEvents,
    TestFeed,
    TestFollowing,
    TestHeads,
)
from dispatcher.testing.conformance.flowing import TestFlowInOneCall, TestFlowOfEndpoints
from dispatcher.testing.conformance.handed import (
    TestAttemptsThatAreLate,
    TestDeliveriesChangedByAnother,
    TestJobsChangedByAnother,
    TestWaitingChangedByAnother,
)
from dispatcher.testing.conformance.holders import (
    TestEndingLeases,
    TestHeart,
    TestHeldJobs,
    TestTakingBack,
)
from dispatcher.testing.conformance.leases import TestEndingRemoteLeases, TestRemoteLeases
from dispatcher.testing.conformance.machine import stateful
from dispatcher.testing.conformance.ordering import TestChainsAtRandom, TestOrder, TestWhenOneEnds
from dispatcher.testing.conformance.ordering_keys import (
    TestKeys,
    TestKeysAndHandOff,
    TestManyBehindAKey,
    TestScheduledWithKeys,
)
from dispatcher.testing.conformance.pausing import TestConcurrency, TestPausingQueues
from dispatcher.testing.conformance.reading import (
    TestDeliverySummary,
    TestEvents,
    TestListsOfJobs,
    TestOneJob,
)
from dispatcher.testing.conformance.reading_deliveries import TestListsOfDeliveries, TestOneDelivery
from dispatcher.testing.conformance.redelivering import (
    TestAskingToCancelDeliveries,
    TestRedelivering,
)
from dispatcher.testing.conformance.redelivering_together import TestRedeliveringTogether
from dispatcher.testing.conformance.rooms import TestRoom
from dispatcher.testing.conformance.scene import Scene, scene
from dispatcher.testing.conformance.stale import TestStaleDeliveries, TestStaleJobs
from dispatcher.testing.conformance.steering import TestListsOfDestinations, TestPausing
from dispatcher.testing.conformance.sweeping import TestPrune, TestSweep
from dispatcher.testing.conformance.switching import (
    TestDeletingEndpoints,
    TestDisablingEndpoints,
    TestFailingEndpoints,
)
from dispatcher.testing.conformance.under_way import TestEventsUnderWay
from dispatcher.testing.conformance.walks import TestWalks

__all__ = [
    "Backend",
    "Scene",
    "ShuffledIds",
    "TestAdding",
    "TestAskingToCancel",
    "TestAskingToCancelDeliveries",
    "TestAttemptsThatAreLate",
    "TestAuditLog",
    "TestAuditedCallers",
    "TestAuditedChanges",
    "TestBacklog",
    "TestBreakerOfADestination",
    "TestBreakerOfAUrl",
    "TestBulkSteps",
    "TestCallers",
    "TestChainsAtRandom",
    "TestCheck",
    "TestClaimingJobs",
    "TestConcurrency",
    "TestDeadDeliveries",
    "TestDeletingEndpoints",
    "TestDeliveriesChangedByAnother",
    "TestDeliverySummary",
    "TestDestinations",
    "TestDisablingEndpoints",
    "TestDueTimes",
    "TestDurability",
    "TestEachItemAlone",
    "TestEndingLeases",
    "TestEndingRemoteLeases",
    "TestErasedEvents",
    "TestErasing",
    "TestEvents",
    "TestEventsOfEndpoints",
    "TestEventsUnderWay",
    "TestFailingEndpoints",
    "TestFeed",
    "TestFinishing",
    "TestFlowInOneCall",
    "TestFlowOfEndpoints",
    "TestFollowing",
    "TestHandOffOfDeliveries",
    "TestHandOffOfJobs",
    "TestHandedOverBetweenProcesses",
    "TestHandingOn",
    "TestHeads",
    "TestHeart",
    "TestHeldJobs",
    "TestIdempotency",
    "TestJobsChangedByAnother",
    "TestKeepingEndpoints",
    "TestKeyCheck",
    "TestKeys",
    "TestKeysAndHandOff",
    "TestKeysOfCallers",
    "TestLanesInTurn",
    "TestLeasedDeliveries",
    "TestListsOfCallers",
    "TestListsOfDeliveries",
    "TestListsOfDestinations",
    "TestListsOfJobs",
    "TestManyAtOnce",
    "TestManyBehindAKey",
    "TestNoting",
    "TestOneDelivery",
    "TestOneJob",
    "TestOrder",
    "TestOrderOfJobs",
    "TestPausing",
    "TestPausingQueues",
    "TestPrune",
    "TestPruningEventsOfNoJob",
    "TestRate",
    "TestRecordingAttempts",
    "TestRedelivering",
    "TestRedeliveringTogether",
    "TestReleasing",
    "TestRemoteLeases",
    "TestRoom",
    "TestRoomOfCallers",
    "TestRotatingSecrets",
    "TestScheduledWithKeys",
    "TestSelecting",
    "TestSentAgain",
    "TestServiceKeys",
    "TestStaleDeliveries",
    "TestStaleJobs",
    "TestSweep",
    "TestTakingBack",
    "TestTerms",
    "TestTurns",
    "TestTypes",
    "TestUnknownAttempts",
    "TestWaitingChangedByAnother",
    "TestWalks",
    "TestWhatWasErased",
    "TestWhenOneEnds",
    "scene",
    "stateful",
]
