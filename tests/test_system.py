from __future__ import annotations

import re
import subprocess
import sys
import threading
import uuid

from dispatcher.adapters.system import SystemClock, SystemRandom, Uuid7Ids

MS = 1_000_000
START = 1_769_860_800_000


class Hands:
    """The hands of two clocks, moved by the test."""

    def __init__(self) -> None:
        self.wall_ms = START
        self.seconds = 100.0

    def time_ns(self) -> int:
        return self.wall_ms * MS + 999

    def monotonic(self) -> float:
        return self.seconds

    def pass_by(self, seconds: float) -> None:
        self.wall_ms += int(seconds * 1000)
        self.seconds += seconds


# --- The clock ---------------------------------------------------------------------------------


def test_the_clock_follows_the_machine() -> None:
    hands = Hands()
    clock = SystemClock(hands.time_ns, hands.monotonic)
    assert clock.now() == START
    hands.pass_by(1.5)
    assert clock.now() == START + 1500
    assert clock.monotonic() == 101.5


def test_a_machine_set_back_makes_the_clock_slow_and_never_run_backwards() -> None:
    hands = Hands()
    clock = SystemClock(hands.time_ns, hands.monotonic)
    clock.now()
    hands.wall_ms -= 3_600_000
    assert clock.now() == START
    hands.pass_by(60)
    assert clock.now() == START + 30_000
    hands.pass_by(3600 * 2 - 60 + 1)  # by now the machine has caught up: half of twice an hour
    assert clock.now() == hands.wall_ms
    hands.pass_by(1)
    assert clock.now() == hands.wall_ms


def test_a_machine_set_back_twice() -> None:
    hands = Hands()
    clock = SystemClock(hands.time_ns, hands.monotonic)
    seen = [clock.now()]
    for _ in range(5):
        hands.wall_ms -= 10_000
        seen.append(clock.now())
        hands.pass_by(4)
        seen.append(clock.now())
    assert seen == sorted(seen)
    assert seen[-1] > START


def test_the_real_clock_is_that_of_the_day() -> None:
    clock = SystemClock()
    assert START < clock.now() < START + 200 * 365 * 86_400_000
    assert clock.now() <= clock.now()


def test_chance_never_gives_the_same_twice() -> None:
    random = SystemRandom()
    drawn = [random.unit() for _ in range(1000)]
    assert all(0 <= each < 1 for each in drawn)
    assert len(set(drawn)) == 1000
    assert len(random.token(32)) == 32
    assert random.token(32) != random.token(32)


# --- Ids ---------------------------------------------------------------------------------------


def test_an_id_is_a_prefix_and_a_uuid_of_version_7() -> None:
    hands = Hands()
    text = Uuid7Ids(hands.time_ns).new("job")
    assert re.fullmatch(r"job_[0-9a-f]{32}", text)
    made = uuid.UUID(text.removeprefix("job_"))
    assert made.version == 7
    assert made.variant == uuid.RFC_4122
    assert made.int >> 80 == START


def test_ids_rise_within_a_millisecond_and_when_the_clock_goes_back() -> None:
    hands = Hands()
    ids = Uuid7Ids(hands.time_ns)
    made = [ids.new("job") for _ in range(5000)]
    hands.wall_ms -= 5000
    made += [ids.new("job") for _ in range(100)]
    hands.wall_ms += 10_000
    made += [ids.new("job") for _ in range(100)]
    assert made == sorted(made)
    assert len(set(made)) == len(made)
    for each in made:
        assert uuid.UUID(each.removeprefix("job_")).version == 7


def test_a_millisecond_that_is_used_up_borrows_from_the_next() -> None:
    hands = Hands()
    ids = Uuid7Ids(hands.time_ns)
    first = ids.new("job")
    ids._rand_a, ids._rand_b = (1 << 12) - 1, (1 << 62) - 1
    second = ids.new("job")
    assert first < second
    assert uuid.UUID(second.removeprefix("job_")).int >> 80 == START + 1


def test_a_lower_part_that_runs_over_counts_on_in_the_upper() -> None:
    hands = Hands()
    ids = Uuid7Ids(hands.time_ns)
    first = ids.new("job")
    upper = int(first.removeprefix("job_")[13:16], 16)
    ids._rand_b = (1 << 62) - 1
    second = ids.new("job")
    made = uuid.UUID(second.removeprefix("job_"))
    assert first < second
    assert made.int >> 80 == START
    assert made.int >> 64 & 0xFFF == upper + 1
    assert (made.version, made.variant) == (7, uuid.RFC_4122)


def test_a_child_of_the_same_millisecond_draws_chance_of_its_own() -> None:
    hands = Hands()
    ids = Uuid7Ids(hands.time_ns)
    ids.new("job")
    ids._start_anew()
    child = uuid.UUID(ids.new("job").removeprefix("job_"))
    assert child.int >> 80 == START + 1
    assert child.int & ((1 << 62) - 1) > 1 << 40


def test_what_is_random_in_ids_differs_between_makers() -> None:
    hands = Hands()
    one, two = Uuid7Ids(hands.time_ns), Uuid7Ids(hands.time_ns)
    assert one.new("job") != two.new("job")


def test_threads_may_share_a_maker() -> None:
    ids = Uuid7Ids()
    made: list[list[str]] = [[] for _ in range(8)]
    ready = threading.Barrier(8)

    def make(into: list[str]) -> None:
        ready.wait()
        into.extend(ids.new("job") for _ in range(2000))

    threads = [threading.Thread(target=make, args=(each,)) for each in made]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    everything = [id_ for each in made for id_ in each]
    assert len(set(everything)) == len(everything) == 16_000
    assert all(each == sorted(each) for each in made)


FORKING = """
import os
from dispatcher.adapters.system import Uuid7Ids

ids = Uuid7Ids()
ids.new("job")
ids._lock.acquire()  # as if another thread were making one at that moment
child = os.fork()
if child == 0:
    print(ids.new("job"), flush=True)
    os._exit(0)
os.waitpid(child, 0)
ids._lock.release()
print(ids.new("job"), flush=True)
"""


def test_a_forked_child_makes_ids_of_its_own() -> None:
    # In a process of its own: newer Pythons warn of forks where threads run.
    done = subprocess.run(
        [sys.executable, "-c", FORKING], capture_output=True, text=True, check=True, timeout=30
    )
    theirs, ours = done.stdout.split()
    assert re.fullmatch(r"job_[0-9a-f]{32}", theirs)
    assert theirs[-16:] != ours[-16:]
