"""The ledger on SQLite; the same statements on Postgres are tested in the integration tier."""

import os
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa

from media_assets.media.errors import ReasonCode
from media_assets.storage import keys
from media_assets.storage.errors import LedgerError
from media_assets.storage.inbox import InboxObject
from media_assets.storage.ledger import Ledger
from media_assets.storage.ledger_schema import Batch, Outcome, OutcomeState
from media_assets_tests.unit.storage.uploads import MODIFIED, entry_of, upload

INBOX = "file:///in"
OTHER = "file:///other"
SHA_A, SHA_B = "a" * 64, "b" * 64


def record(ledger: Ledger, *objects: InboxObject, inbox: str = INBOX, take_over: bool = True) -> int:
    return ledger.record_page(inbox, objects, None, take_over=take_over).new


def accept(ledger: Ledger, key: str, sha256: str = SHA_A) -> None:
    ledger.record_results([], accepted=[(entry_of(ledger, key), sha256, f"originals/{key}")])


def outcome(
    key: str, asset: str, sha256: str | None = SHA_A, state: OutcomeState = "materialized", root: str = "root"
) -> Outcome:
    return Outcome(keys.media_id(key), asset, state, sha256, "1-x", "run", root, MODIFIED)


def batched(ledger: Ledger, *groups: tuple[str, ...]) -> list[Batch]:
    for group in groups:
        record(ledger, *(upload(key) for key in group))
    return ledger.create_batches(INBOX, [[entry_of(ledger, key) for key in group] for group in groups])


def later(batch: Batch, seconds: float = 60) -> datetime:
    return batch.not_before + timedelta(seconds=seconds)


# ---------------------------------------------------------------- uploads


def test_a_new_upload_is_recorded_with_all_that_is_known(ledger: Ledger) -> None:
    before = datetime.now(UTC)
    assert record(ledger, upload("ann/été 1.jpg", "e1", 7), upload("x.jpg", "e2", 0, ReasonCode.NAME_NOT_UTF8)) == 2
    entry = entry_of(ledger, "ann/été 1.jpg")
    assert (entry.source_key, entry.owner, entry.inbox) == ("ann/été 1.jpg", "ann", INBOX)
    assert (entry.etag, entry.size_bytes, entry.modified_at, entry.state) == ("e1", 7, MODIFIED, "pending")
    assert (entry.batch_id, entry.attempts, entry.sha256, entry.original_key) == (None, 0, None, None)
    assert before <= entry.first_seen_at <= datetime.now(UTC)
    assert entry.first_seen_at.tzinfo is UTC
    assert entry.month == keys.month_of(entry.first_seen_at)
    bad = entry_of(ledger, "x.jpg")
    assert (bad.owner, bad.problem, bad.problem_message) == ("default", "name_not_utf8", "Rename it.")


@pytest.mark.parametrize("state", ["pending", "accepted", "rejected"])
def test_an_unchanged_upload_is_not_new(ledger: Ledger, state: str) -> None:
    record(ledger, upload("a.jpg"))
    if state == "accepted":
        accept(ledger, "a.jpg")
    if state == "rejected":
        ledger.record_results([], rejected=[entry_of(ledger, "a.jpg")])
    before = entry_of(ledger, "a.jpg")
    assert record(ledger, upload("a.jpg")) == 0
    assert entry_of(ledger, "a.jpg") == before
    assert before.state == state


@pytest.mark.parametrize(("etag", "size_bytes"), [("2", 10), ("1", 11)], ids=["etag", "size"])
def test_a_new_version_is_pending_again_and_keeps_what_the_file_was(ledger: Ledger, etag: str, size_bytes: int) -> None:
    record(ledger, upload("a.jpg"))
    accept(ledger, "a.jpg")
    before = entry_of(ledger, "a.jpg")
    assert record(ledger, upload("a.jpg", etag, size_bytes)) == 1
    now = entry_of(ledger, "a.jpg")
    assert (now.state, now.etag, now.size_bytes) == ("pending", etag, size_bytes)
    assert (now.sha256, now.original_key) == (SHA_A, "originals/a.jpg")
    assert (now.first_seen_at, now.month) == (before.first_seen_at, before.month)
    assert now.seen_at >= before.seen_at


def test_a_version_that_comes_back_is_new_again(ledger: Ledger) -> None:
    """A, then B, then A: the etag of A was seen before, and yet it is not what was accepted last."""
    for etag, sha256 in (("A", SHA_A), ("B", SHA_B)):
        assert record(ledger, upload("a.jpg", etag)) == 1
        accept(ledger, "a.jpg", sha256)
    assert record(ledger, upload("a.jpg", "A")) == 1
    assert entry_of(ledger, "a.jpg").state == "pending"


def test_an_upload_that_was_gone_and_is_back_unchanged_is_new(ledger: Ledger) -> None:
    record(ledger, upload("a.jpg"))
    ledger.record_results([], gone=[entry_of(ledger, "a.jpg")])
    assert entry_of(ledger, "a.jpg").state == "gone"
    assert record(ledger, upload("a.jpg")) == 1
    assert entry_of(ledger, "a.jpg").state == "pending"


def test_a_mended_name_problem_is_forgotten(ledger: Ledger) -> None:
    record(ledger, upload("a.jpg", "1-unreadable", problem=ReasonCode.NOT_A_FILE))
    ledger.record_results([], rejected=[entry_of(ledger, "a.jpg")])
    record(ledger, upload("a.jpg", "1"))
    entry = entry_of(ledger, "a.jpg")
    assert (entry.state, entry.problem, entry.problem_message, entry.attempts) == ("pending", None, None, 0)
    assert entry.first_rejected_at is not None  # the row in `rejected` still has to go


def test_a_page_longer_than_a_statement_is_recorded_whole(ledger: Ledger) -> None:
    objects = [upload(f"{n:04}.jpg") for n in range(1001)]
    assert record(ledger, *objects) == 1001
    assert record(ledger, *objects) == 0
    assert ledger.counts() == {"pending": 1001}
    assert len(ledger.entries(keys.media_id(found.source_key) for found in objects)) == 1001


def test_a_key_that_is_listed_twice_on_a_page_is_one_file(ledger: Ledger) -> None:
    assert record(ledger, upload("a.jpg", "1"), upload("a.jpg", "2")) == 1
    assert entry_of(ledger, "a.jpg").etag == "2"


def test_the_same_file_in_another_inbox_moves_and_is_not_done_again(ledger: Ledger) -> None:
    record(ledger, upload("a.jpg"))
    accept(ledger, "a.jpg")
    assert record(ledger, upload("a.jpg"), inbox=OTHER, take_over=False) == 0
    entry = entry_of(ledger, "a.jpg")
    assert (entry.inbox, entry.state) == (OTHER, "accepted")


def test_a_pending_file_that_moves_to_another_inbox_is_processed_there(ledger: Ledger) -> None:
    """The batch of the old inbox is not looked at any more: what waited in it must not wait forever."""
    batched(ledger, ("a.jpg", "b.jpg"))
    ledger.record_page(OTHER, [upload("a.jpg"), upload("b.jpg")], None, take_over=False)
    assert [entry.source_key for entry in ledger.waiting(OTHER, 10)] == ["a.jpg", "b.jpg"]
    assert ledger.open_batches(INBOX, 10, with_exhausted=True) == []
    assert ledger.unfinished(10) == []


def test_other_bytes_under_a_known_name_from_another_inbox_are_a_conflict(ledger: Ledger) -> None:
    record(ledger, upload("a.jpg"))
    accept(ledger, "a.jpg")
    before = entry_of(ledger, "a.jpg")
    found = ledger.record_page(OTHER, [upload("a.jpg", "2"), upload("b.jpg")], None, take_over=False)
    assert (found.new, found.conflicts) == (1, ("a.jpg",))
    assert entry_of(ledger, "a.jpg") == before


def test_the_watched_inbox_takes_a_name_over(ledger: Ledger) -> None:
    record(ledger, upload("a.jpg"))
    accept(ledger, "a.jpg")
    found = ledger.record_page(OTHER, [upload("a.jpg", "2")], None, take_over=True)
    assert (found.new, found.conflicts) == (1, ())
    entry = entry_of(ledger, "a.jpg")
    assert (entry.inbox, entry.etag, entry.state) == (OTHER, "2", "pending")


def test_a_sweep_is_counted_from_its_start_to_its_end(ledger: Ledger) -> None:
    assert ledger.sweep_status(INBOX) is None
    ledger.record_page(INBOX, [upload("a"), upload("b")], "b", take_over=True)
    first = ledger.sweep_status(INBOX)
    assert first is not None
    assert (first.position, first.listed, first.completed_at) == ("b", 2, None)
    ledger.record_page(INBOX, [upload("c")], None, take_over=True)
    done = ledger.sweep_status(INBOX)
    assert done is not None
    assert (done.position, done.listed, done.started_at) == (None, 3, first.started_at)
    assert done.completed_at is not None
    ledger.record_page(INBOX, [upload("a")], "a", take_over=True)
    again = ledger.sweep_status(INBOX)
    assert again is not None
    assert (again.listed, again.completed_at) == (1, done.completed_at)
    assert again.started_at >= done.completed_at
    assert ledger.sweep_status(OTHER) is None


# ---------------------------------------------------------------- batches


def test_waiting_uploads_come_oldest_first_and_by_name(ledger: Ledger) -> None:
    record(ledger, upload("m.jpg"), upload("b.jpg"))
    record(ledger, upload("a.jpg"), upload("z.jpg"))
    record(ledger, upload("elsewhere.jpg"), inbox=OTHER)
    assert [entry.source_key for entry in ledger.waiting(INBOX, 10)] == ["b.jpg", "m.jpg", "a.jpg", "z.jpg"]
    assert [entry.source_key for entry in ledger.waiting(INBOX, 3)] == ["b.jpg", "m.jpg", "a.jpg"]


def test_batches_know_their_files_and_open_in_the_order_in_which_they_were_made(ledger: Ledger) -> None:
    groups = [(f"{n:02}a.jpg", f"{n:02}b.jpg") for n in range(12)]
    made = batched(ledger, *groups)
    assert ledger.open_batches(INBOX, 100) == made
    assert ledger.open_batches(INBOX, 5) == made[:5]
    assert ledger.open_batches(OTHER, 100) == []
    assert ledger.unfinished(3) == made[:3]
    for batch, group in zip(made, groups, strict=True):
        ids = [keys.media_id(key) for key in group]
        assert [entry.media_id for entry in ledger.batch_members(batch.batch_id)] == ids
        assert (batch.first_media_id, batch.last_media_id) == (ids[0], ids[-1])
        assert (batch.file_count, batch.size_bytes, batch.state, batch.attempt) == (2, 20, "pending", 1)
        assert batch.run_key == f"{batch.batch_id}-1"
    assert len({batch.batch_id for batch in made}) == 12
    assert ledger.waiting(INBOX, 10) == []
    assert ledger.batch("no such batch") is None


def test_the_same_files_again_make_another_batch(ledger: Ledger) -> None:
    """Run keys are made of batch ids; a repeated one would never start a run."""
    first = batched(ledger, ("a.jpg",))
    ledger.record_results([], gone=[entry_of(ledger, "a.jpg")])
    assert batched(ledger, ("a.jpg",))[0].batch_id != first[0].batch_id


def test_a_batch_starts_beats_and_finishes(ledger: Ledger) -> None:
    (batch,) = batched(ledger, ("a.jpg", "b.jpg"))
    ledger.start_batch(batch.batch_id, "run-1", "host:1:1.0")
    started = ledger.batch(batch.batch_id)
    assert started is not None
    assert (started.state, started.run_id, started.worker) == ("running", "run-1", "host:1:1.0")
    assert started.heartbeat_at is not None
    ledger.heartbeat(batch.batch_id)
    beaten = ledger.batch(batch.batch_id)
    assert beaten is not None
    assert beaten.heartbeat_at is not None
    assert beaten.heartbeat_at > started.heartbeat_at
    accept(ledger, "a.jpg")
    assert not ledger.finish_batch(batch.batch_id)
    ledger.record_results([], rejected=[entry_of(ledger, "b.jpg")])
    assert ledger.finish_batch(batch.batch_id)
    assert ledger.open_batches(INBOX, 10, with_exhausted=True) == []
    assert ledger.batch_counts() == {"done": 1}


def test_a_batch_is_reopened_until_it_is_exhausted_and_even_then_on_demand(ledger: Ledger) -> None:
    (batch,) = batched(ledger, ("a.jpg",))
    ledger.start_batch(batch.batch_id, "run-1", "host:1:1.0")
    again = ledger.reopen_batch(batch, message="It died.", not_before=later(batch), max_attempts=2)
    assert (again.state, again.attempt, again.message, again.not_before) == ("pending", 2, "It died.", later(batch))
    assert (again.run_id, again.worker) == (None, None)
    assert again.run_key == f"{batch.batch_id}-2"
    given_up = ledger.reopen_batch(again, message="Again.", not_before=later(batch), max_attempts=2)
    assert (given_up.state, given_up.attempt, given_up.message) == ("exhausted", 2, "Again.")
    assert ledger.open_batches(INBOX, 10) == []
    assert ledger.open_batches(INBOX, 10, with_exhausted=True) == [given_up]
    assert ledger.unfinished(10) == [given_up]
    forced = ledger.reopen_batch(given_up, message="By hand.", not_before=later(batch), max_attempts=None)
    assert (forced.state, forced.attempt) == ("pending", 3)


def test_a_batch_that_somebody_else_reopened_is_left_alone(ledger: Ledger) -> None:
    (batch,) = batched(ledger, ("a.jpg",))
    again = ledger.reopen_batch(batch, message="First.", not_before=later(batch), max_attempts=9)
    assert ledger.reopen_batch(batch, message="Second.", not_before=later(batch), max_attempts=9) == again


def test_a_batch_that_was_finished_meanwhile_is_not_reopened(ledger: Ledger) -> None:
    (batch,) = batched(ledger, ("a.jpg",))
    accept(ledger, "a.jpg")
    assert ledger.finish_batch(batch.batch_id)
    assert ledger.reopen_batch(batch, message="Late.", not_before=later(batch), max_attempts=9).state == "done"
    assert ledger.open_batches(INBOX, 10) == []


def test_a_new_version_leaves_its_batch(ledger: Ledger) -> None:
    (batch,) = batched(ledger, ("a.jpg", "b.jpg"))
    record(ledger, upload("a.jpg", "2"))
    assert [entry.source_key for entry in ledger.batch_members(batch.batch_id)] == ["b.jpg"]
    assert [entry.source_key for entry in ledger.waiting(INBOX, 10)] == ["a.jpg"]


# ---------------------------------------------------------------- results


def test_results_move_uploads_on(ledger: Ledger) -> None:
    record(ledger, *(upload(f"{name}.jpg") for name in "abcd"))
    a, b, c, d = (entry_of(ledger, f"{name}.jpg") for name in "abcd")
    ledger.record_results([], accepted=[(a, SHA_A, "originals/a")], rejected=[b], gone=[c], failed=[d])
    assert ledger.counts() == {"accepted": 1, "rejected": 1, "gone": 1, "pending": 1}
    assert (entry_of(ledger, "a.jpg").sha256, entry_of(ledger, "a.jpg").original_key) == (SHA_A, "originals/a")
    rejected = entry_of(ledger, "b.jpg")
    assert rejected.attempts == 1
    assert rejected.first_rejected_at is not None
    assert entry_of(ledger, "d.jpg").attempts == 1
    record(ledger, upload("b.jpg", "2"))
    ledger.record_results([], rejected=[entry_of(ledger, "b.jpg")])
    assert entry_of(ledger, "b.jpg").first_rejected_at == rejected.first_rejected_at
    accept(ledger, "b.jpg")
    assert (entry_of(ledger, "b.jpg").attempts, entry_of(ledger, "b.jpg").first_rejected_at) == (0, None)


@pytest.mark.parametrize("result", ["accepted", "rejected", "gone", "failed"])
def test_a_version_that_was_listed_meanwhile_stays_pending(ledger: Ledger, result: str) -> None:
    record(ledger, upload("a.jpg", "1"))
    worked_on = entry_of(ledger, "a.jpg")
    record(ledger, upload("a.jpg", "2"))
    newer = entry_of(ledger, "a.jpg")
    if result == "accepted":
        ledger.record_results([], accepted=[(worked_on, SHA_A, "originals/a")])
    else:
        ledger.record_results([], **{result: [worked_on]})  # type: ignore[arg-type]
    assert entry_of(ledger, "a.jpg") == newer
    assert ledger.waiting(INBOX, 10) == [newer]


def test_outcomes_are_replaced_by_the_latest(ledger: Ledger) -> None:
    record(ledger, upload("a.jpg"))
    accept(ledger, "a.jpg")
    ledger.record_results([outcome("a.jpg", "original"), outcome("a.jpg", "metadata", state="failed")])
    assert ledger.lacking(INBOX, ["original", "metadata"]) == {keys.media_id("a.jpg"): {"metadata"}}
    ledger.record_results([outcome("a.jpg", "metadata")])
    assert ledger.lacking(INBOX, ["original", "metadata"]) == {}


def test_lacking_is_about_the_bytes_that_are_accepted_now(ledger: Ledger) -> None:
    record(ledger, upload("a.jpg"), upload("b.jpg"), upload("c.jpg"))
    accept(ledger, "a.jpg", SHA_B)
    accept(ledger, "b.jpg", SHA_A)
    ledger.record_results([outcome("a.jpg", "thumbnails", SHA_A), outcome("b.jpg", "thumbnails", SHA_A)])
    assert ledger.lacking(INBOX, ["thumbnails"]) == {keys.media_id("a.jpg"): {"thumbnails"}}
    assert ledger.lacking(OTHER, ["thumbnails"]) == {}
    ledger.record_results([outcome("a.jpg", "thumbnails", SHA_B, state="rejected")])
    assert ledger.lacking(INBOX, ["thumbnails"]) == {}


def test_done_in_lineage_counts_what_runs_of_one_root_finished(ledger: Ledger) -> None:
    ledger.record_results(
        [
            outcome("a.jpg", "original"),
            outcome("a.jpg", "metadata", state="rejected"),
            outcome("a.jpg", "thumbnails", state="failed"),
            outcome("b.jpg", "original", root="another"),
        ]
    )
    ids = [keys.media_id(f"{name}.jpg") for name in "abc"]
    assert ledger.done_in_lineage("root", ids) == {ids[0]: {"original", "metadata"}}
    assert ledger.done_in_lineage("root", ids[1:]) == {}


def test_one_of_many_equal_files_is_the_first_whatever_the_race(ledger: Ledger) -> None:
    barrier = threading.Barrier(8)

    def claim(n: int) -> tuple[str, str]:
        barrier.wait()
        return ledger.claim_original("ann", SHA_A, f"m{n}", f"key{n}")

    with ThreadPoolExecutor(8) as pool:
        won = set(pool.map(claim, range(8)))
    assert len(won) == 1
    (winner,) = won
    assert winner[1] == winner[0].replace("m", "key")
    assert ledger.claim_original("ann", SHA_A, "late", "late") == winner
    assert ledger.claim_original("bob", SHA_A, "m9", "key9") == ("m9", "key9")


# ---------------------------------------------------------------- leases


def test_a_lease_has_one_holder(ledger: Ledger) -> None:
    with ledger.lease("catalog", "one") as first:
        with ledger.lease("catalog", "two") as second, ledger.lease("other", "two") as other:
            assert (first, second, other) == (True, False, True)
        with ledger.lease("catalog", "three") as third:  # the refused one has not released it
            assert not third
    with ledger.lease("catalog", "two") as after:
        assert after


def test_a_lease_is_released_when_its_body_fails(ledger: Ledger) -> None:
    with pytest.raises(RuntimeError, match="broken"), ledger.lease("catalog", "one"):
        raise RuntimeError("broken")
    with ledger.lease("catalog", "two") as obtained:
        assert obtained


def test_a_lease_whose_holder_died_expires_and_its_ghost_does_not_release_the_new_one(ledger: Ledger) -> None:
    with ledger.lease("catalog", "dead", ttl=timedelta(seconds=-1)) as first, ledger.lease("catalog", "two") as taken:
        assert (first, taken) == (True, True)
    with ledger.lease("catalog", "dead", ttl=timedelta(seconds=-1)):
        keeper = ledger.lease("catalog", "two")
        assert keeper.__enter__()
    with ledger.lease("catalog", "three") as obtained:
        assert not obtained
    keeper.__exit__(None, None, None)


def test_a_lease_of_a_dead_holder_is_free_at_once(ledger: Ledger) -> None:
    abandoned = ledger.lease("catalog", "dead")
    assert abandoned.__enter__()
    with ledger.lease("catalog", "two", is_dead=lambda holder: holder == "somebody else") as obtained:
        assert not obtained
    with ledger.lease("catalog", "two", is_dead=lambda holder: holder == "dead") as obtained:
        assert obtained
        with ledger.lease("catalog", "three", is_dead=lambda holder: holder == "dead") as third:
            assert not third


# ---------------------------------------------------------------- the database


_WRITER = """
import sys
from datetime import UTC, datetime
from media_assets.storage.inbox import InboxObject
from media_assets.storage.ledger import Ledger
url, name = sys.argv[1:]
ledger = Ledger(url)
for page in range(15):
    found = [InboxObject(f"{name}/{page}-{n}.jpg", "1", 1, datetime.now(UTC)) for n in range(10)]
    ledger.record_page("file:///in", found, None, take_over=True)
    ledger.create_batches("file:///in", [[e for e in ledger.waiting("file:///in", 999) if e.owner == name]])
ledger.close()
"""


def test_two_processes_write_at_once(ledger: Ledger, url: str) -> None:
    writers = [subprocess.Popen([sys.executable, "-c", _WRITER, url, name], env=os.environ) for name in ("p", "q")]
    assert [writer.wait(timeout=60) for writer in writers] == [0, 0]
    assert ledger.counts() == {"pending": 300}
    assert ledger.waiting(INBOX, 1) == []
    assert sum(len(ledger.batch_members(batch.batch_id)) for batch in ledger.open_batches(INBOX, 100)) == 300


def test_what_was_written_is_there_after_opening_again(ledger: Ledger, url: str) -> None:
    record(ledger, upload("a.jpg"))
    again = Ledger(url)
    assert again.counts() == {"pending": 1}
    again.close()


def test_a_plain_postgresql_url_is_refused_with_the_right_one() -> None:
    with pytest.raises(LedgerError, match=r"Write postgresql\+psycopg2:// instead\.") as caught:
        Ledger("postgresql://ann:secret-word@db.example/media")
    assert "secret-word" not in str(caught.value)


@pytest.mark.parametrize("url", ["sqlite:////dev/null/ledger.db", "no url at all", "nosuchdb:///x"])
def test_what_cannot_be_opened_is_a_ledger_error_that_says_what_to_check(url: str) -> None:
    with pytest.raises(LedgerError, match=r"The ledger cannot be opened .* Check the path"):
        Ledger(url)


def test_a_file_that_is_no_database_is_a_ledger_error(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    path.write_bytes(b"not a database" * 100)
    with pytest.raises(LedgerError, match="file is not a database"):
        Ledger(f"sqlite:///{path}")


def test_a_ledger_of_a_newer_version_is_refused(ledger: Ledger, url: str) -> None:
    engine = sa.create_engine(url)
    with engine.begin() as connection:
        connection.execute(sa.text("UPDATE ma_ledger SET schema_version = 99"))
    engine.dispose()
    with pytest.raises(LedgerError, match=r"schema version 99.*Upgrade media_assets"):
        Ledger(url)


def test_a_lost_database_is_a_ledger_error(ledger: Ledger, url: str) -> None:
    engine = sa.create_engine(url)
    with engine.begin() as connection:
        connection.execute(sa.text("DROP TABLE ma_media"))
    engine.dispose()
    with pytest.raises(LedgerError, match="Check free space and the database"):
        ledger.counts()
