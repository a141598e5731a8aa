"""Batches whose process dies, again and again: exactly the files that kill are refused, after few runs.

The processes are played: one dies at a file that kills, or because somebody pulls the plug. Ledger and rules are real.
"""

import math
import random
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from media_assets.pipeline.bisect import bury, judge
from media_assets.storage import keys
from media_assets.storage.inbox import InboxObject
from media_assets.storage.ledger import Ledger
from media_assets.storage.ledger_deaths import Death, Suspicion
from media_assets.storage.ledger_schema import Batch, MediaEntry

INBOX = "file:///in"
START = datetime.now(UTC)
FLUSH = 8


def upload(key: str, etag: str = "1") -> InboxObject:
    return InboxObject(key, etag, 10, datetime(2026, 5, 1, tzinfo=UTC))


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    return Ledger(f"sqlite:///{tmp_path / 'ledger.db'}")


class Machine:
    """Works batches off, one at a time, on a clock that jumps over back-offs."""

    def __init__(self, ledger: Ledger, killers: set[str] = frozenset()) -> None:  # type: ignore[assignment]
        self.ledger = ledger
        self.killers = killers
        self.kill_at_copy: set[str] = set()
        self.pulls_plug: Callable[[Batch], bool | None] = lambda batch: None  # whether that is noticed as shared
        self.now = START
        self.runs = 0

    def upload(self, count: int, batch_files: int) -> None:
        names = [f"{n:04d}.jpg" for n in range(count)]
        self.ledger.record_page(INBOX, [upload(name) for name in names], None, take_over=True)
        waiting = self.ledger.waiting(INBOX, count)
        self.ledger.create_batches(INBOX, [waiting[at : at + batch_files] for at in range(0, count, batch_files)])

    def record(self, entries: list[MediaEntry]) -> None:
        refused = [one for one in entries if one.problem]
        done = [(one, "a" * 64, f"originals/{one.media_id}") for one in entries if not one.problem]
        self.ledger.record_results([], accepted=done, rejected=refused)

    def run(self, batch: Batch) -> None:
        """One run: files are recorded in chunks; a death takes the open chunk with it."""
        self.runs += 1
        assert self.runs < 2000, "this does not end"
        self.now = max(self.now, batch.not_before) + timedelta(seconds=60)
        self.ledger.start_batch(batch.batch_id, f"run-{self.runs}", "host:1:1.0")
        self.ledger._update_batch(batch.batch_id, heartbeat_at=self.now)  # the clock of this test
        batch = self.ledger.batch(batch.batch_id) or batch
        shared, chunk = self.pulls_plug(batch), []
        suspicion = self.ledger.suspicion(batch.batch_id)
        for entry in self.ledger.pending_members(batch.batch_id):
            copied = entry.problem is None or not (suspicion and suspicion.is_untouchable)
            dies = entry.source_key in (self.killers if entry.problem is None else set())
            dies = dies or (copied and entry.source_key in self.kill_at_copy)
            if dies or shared is not None:
                self.now += timedelta(seconds=1)
                bury(self.ledger, batch, self.now, dict, is_shared=bool(shared) and not dies)
                self.ledger.finish_batch(batch.batch_id)
                return
            chunk.append(entry)
            if len(chunk) == FLUSH:
                self.record(chunk)
                chunk = []
        self.record(chunk)
        self.ledger.finish_batch(batch.batch_id)

    def work(self) -> None:
        while open_batches := self.ledger.open_batches(INBOX, 1000):
            suspects = self.ledger.suspect_ids(INBOX)
            open_batches.sort(key=lambda one: (one.batch_id in suspects, one.not_before))
            self.run(open_batches[0])

    def states(self) -> dict[str, set[str]]:
        found: dict[str, set[str]] = {}
        known = self.ledger.entries(keys.media_id(f"{n:04d}.jpg") for n in range(1000))
        for entry in known.values():
            found.setdefault(entry.state, set()).add(entry.source_key)
        return found


@pytest.mark.parametrize("poisonous", [0, 1, 37, 128, 255])
def test_the_one_file_that_kills_is_refused_after_a_bounded_number_of_runs(ledger: Ledger, poisonous: int) -> None:
    machine = Machine(ledger, {f"{poisonous:04d}.jpg"})
    machine.upload(256, 256)
    machine.work()
    assert machine.states()["rejected"] == machine.killers
    assert len(machine.states()["accepted"]) == 255
    # Two runs of the whole, two for each halving, and three of the file alone: the last one refuses it.
    assert machine.runs <= 2 + 2 * math.log2(256) + 3
    entry = ledger.entries([keys.media_id(f"{poisonous:04d}.jpg")]).popitem()[1]
    assert entry.problem == "run_killed"
    assert "media-assets retry" in str(entry.problem_message)


@pytest.mark.parametrize("seed", range(12))
def test_whatever_else_kills_exactly_the_poisonous_files_are_refused(ledger: Ledger, seed: int) -> None:
    """Restarts of the machine at random, and one stray kill of a process for each batch at most."""
    chance = random.Random(seed)
    count = chance.randint(1, 90)
    names = [f"{n:04d}.jpg" for n in range(count)]
    killers = set(chance.sample(names, min(count, chance.choice([0, 1, 2, 5]))))
    machine = Machine(ledger, killers)
    strays: set[str] = set()
    restarts: dict[str, int] = {}

    def pulls_plug(batch: Batch) -> bool | None:
        if chance.random() < 0.1 and batch.batch_id not in strays:
            strays.add(batch.batch_id)
            return False
        # Fewer than it takes to give a file up: what a machine does that always restarts is another test.
        if chance.random() < 0.15 and restarts.get(batch.batch_id, 0) < 2:
            restarts[batch.batch_id] = restarts.get(batch.batch_id, 0) + 1
            return True
        return None

    machine.pulls_plug = pulls_plug
    machine.upload(count, chance.choice([1, 8, 32]))
    machine.work()
    states = machine.states()
    assert states.get("rejected", set()) == killers
    assert states.get("accepted", set()) == set(names) - killers
    assert not ledger.unfinished(1)


def test_a_machine_that_always_restarts_gets_no_file_refused(ledger: Ledger) -> None:
    machine = Machine(ledger)
    machine.pulls_plug = lambda batch: True
    machine.upload(5, 5)
    machine.work()
    assert set(machine.states()) == {"pending"}
    left = ledger.unfinished(100)
    assert {batch.state for batch in left} == {"exhausted"}
    assert all("media-assets retry --batch" in str(batch.message) for batch in left)
    machine.pulls_plug = lambda batch: None
    for batch in left:
        ledger.start_again(batch, "Started again.")
    machine.work()
    assert set(machine.states()) == {"accepted"}


def test_a_file_that_cannot_even_be_copied_is_refused_without_its_bytes(ledger: Ledger) -> None:
    machine = Machine(ledger)
    machine.kill_at_copy = {"0003.jpg"}
    machine.upload(8, 8)
    machine.work()
    assert machine.states()["rejected"] == {"0003.jpg"}
    entry = ledger.entries([keys.media_id("0003.jpg")]).popitem()[1]
    assert entry.batch_id is not None
    suspicion = ledger.suspicion(entry.batch_id)
    assert suspicion is not None
    assert suspicion.is_untouchable


def test_a_sound_version_of_a_refused_file_is_looked_into(ledger: Ledger) -> None:
    machine = Machine(ledger, {"0000.jpg"})
    machine.upload(2, 2)
    machine.work()
    machine.killers = set()
    ledger.record_page(INBOX, [upload("0000.jpg", "2")], None, take_over=True)
    ledger.create_batches(INBOX, [ledger.waiting(INBOX, 9)])
    machine.work()
    assert machine.states() == {"accepted": {"0000.jpg", "0001.jpg"}}


def test_files_that_were_recorded_before_the_death_are_out_of_suspicion(ledger: Ledger) -> None:
    machine = Machine(ledger, {"0009.jpg"})
    machine.upload(16, 16)
    (batch,) = ledger.open_batches(INBOX, 9)
    machine.run(batch)
    machine.run(ledger.batch(batch.batch_id) or batch)
    parts = ledger.open_batches(INBOX, 9)
    assert [part.file_count for part in parts] == [4, 4]
    assert {part.batch_id for part in parts} == ledger.suspect_ids(INBOX)
    names = [[entry.source_key for entry in ledger.pending_members(part.batch_id)] for part in parts]
    assert names == [[f"{n:04d}.jpg" for n in range(8, 12)], [f"{n:04d}.jpg" for n in range(12, 16)]]
    assert ledger.batch_counts() == {"done": 1, "pending": 2}


def test_a_death_that_two_sensors_see_counts_once(ledger: Ledger) -> None:
    machine = Machine(ledger)
    machine.upload(4, 4)
    (batch,) = ledger.open_batches(INBOX, 9)
    for _ in range(3):
        bury(ledger, batch, START, dict, is_shared=False)
    assert len(ledger.deaths(batch.batch_id)) == 1
    assert [(one.state, one.attempt) for one in ledger.open_batches(INBOX, 9)] == [("pending", 2)]


def deaths(*alone: bool) -> list[Death]:
    """Deaths of a file alone; true where they were shared."""
    return [Death(n, START + timedelta(minutes=n), 1, shared) for n, shared in enumerate(alone, 1)]


@pytest.mark.parametrize(
    ("died", "control", "verdict"),
    [
        (deaths(False), True, "repeat"),
        (deaths(False, False), False, "repeat"),
        (deaths(False, False), True, "condemn"),
        (deaths(False, False, False), False, "condemn"),
        (deaths(True, False), True, "repeat"),
        (deaths(True, True, True, True), True, "repeat"),
        (deaths(True, True, True, True, True), True, "give_up"),
        (deaths(True, False, True, False), True, "condemn"),
    ],
)
def test_what_is_evidence_against_a_file_alone(died: list[Death], control: bool, verdict: str) -> None:
    suspicion = Suspicion("parent", is_condemned=False, is_untouchable=False)
    found = judge(
        died,
        pending=1,
        suspicion=suspicion,
        batch_id="b",
        is_refresh=False,
        worked_elsewhere=lambda since: control,
    )
    assert found == verdict


def test_accepted_files_are_given_up_and_never_refused() -> None:
    found = [
        judge(
            deaths(*([False] * count)),
            pending=1,
            suspicion=None,
            batch_id="b",
            is_refresh=True,
            worked_elsewhere=lambda since: True,
        )
        for count in range(1, 6)
    ]
    assert found == ["repeat"] * 4 + ["give_up"]
