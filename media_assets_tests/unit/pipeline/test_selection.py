from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from media_assets.pipeline.selection import RunIdentity, Selection, Source, select_work
from media_assets.storage import keys
from media_assets.storage.inbox import InboxObject
from media_assets.storage.ledger import Ledger
from media_assets.storage.ledger_schema import MediaEntry, Outcome, OutcomeState

INBOX = "file:///in"
NOW = datetime(2026, 5, 1, tzinfo=UTC)
ALL = ("original", "metadata", "thumbnails")
SHA = "a" * 64
BACKFILL = RunIdentity("run-2", "run-2")

Work = list[tuple[str, frozenset[str], Source]]


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    opened = Ledger(f"sqlite:///{tmp_path / 'ledger.db'}")
    yield opened
    opened.close()


@pytest.fixture
def listed(ledger: Ledger) -> Callable[..., MediaEntry]:
    """Record one upload and return what the ledger has of it."""

    def record(key: str, etag: str = "1") -> MediaEntry:
        ledger.record_page(INBOX, [InboxObject(key, etag, 1, NOW)], None, take_over=True)
        return ledger.entries([keys.media_id(key)])[keys.media_id(key)]

    return record


def accept(ledger: Ledger, entry: MediaEntry) -> None:
    ledger.record_results([], accepted=[(entry, SHA, "originals/x")])


def finished(entry: MediaEntry, asset: str, root: str, state: OutcomeState = "materialized") -> Outcome:
    return Outcome(entry.media_id, asset, state, SHA, "1-x", "run-1", root, NOW)


def work(selection: Selection) -> Work:
    return [(item.entry.source_key, item.assets, item.source) for item in selection.items]


def test_a_run_of_a_batch_does_the_pending_uploads_of_that_batch(
    ledger: Ledger, listed: Callable[..., MediaEntry]
) -> None:
    names = ("a", "accepted before", "b", "of another batch")
    entries = [listed(name) for name in names]
    mine, other = ledger.create_batches(INBOX, [entries[:3], entries[3:]])
    accept(ledger, entries[1])
    ids = [entry.media_id for entry in entries]
    chosen = select_work(ledger, [*ids, "unknown-0123456789ab"], ALL, RunIdentity("run-1", "run-1", mine.batch_id))
    assert work(chosen) == [("a", frozenset(ALL), "inbox"), ("b", frozenset(ALL), "inbox")]
    assert chosen.already_done == (ids[1],)
    assert chosen.not_ingested == ()
    assert chosen.unknown == ("unknown-0123456789ab",)
    assert work(select_work(ledger, ids, ALL, RunIdentity("r", "r", other.batch_id))) == [
        ("of another batch", frozenset(ALL), "inbox")
    ]


def test_the_next_attempt_at_a_batch_does_what_is_left_whatever_its_lineage_recorded(
    ledger: Ledger, listed: Callable[..., MediaEntry]
) -> None:
    """A failed attempt recorded outcomes of an older version: they must not hide the present one."""
    entry = listed("a")
    (batch,) = ledger.create_batches(INBOX, [[entry]])
    ledger.record_results([finished(entry, asset, "run-1") for asset in ALL])
    chosen = select_work(ledger, [entry.media_id], ALL, RunIdentity("run-2", "run-1", batch.batch_id))
    assert work(chosen) == [("a", frozenset(ALL), "inbox")]


def test_a_backfill_reads_stored_originals_and_does_everything_again(
    ledger: Ledger, listed: Callable[..., MediaEntry]
) -> None:
    entry = listed("a")
    accept(ledger, entry)
    ledger.record_results([finished(entry, asset, "run-1") for asset in ALL])
    chosen = select_work(ledger, [entry.media_id], ["thumbnails"], BACKFILL)
    assert work(chosen) == [("a", frozenset({"thumbnails"}), "original")]


def test_a_retry_of_a_backfill_does_only_what_its_lineage_lacks(
    ledger: Ledger, listed: Callable[..., MediaEntry]
) -> None:
    whole, half, failed = (listed(name) for name in ("whole", "half", "failed"))
    for entry in (whole, half, failed):
        accept(ledger, entry)
    ledger.record_results(
        [
            *(finished(whole, asset, "root") for asset in ALL),
            finished(half, "original", "root"),
            finished(half, "metadata", "root", "rejected"),
            *(finished(failed, asset, "root", "failed") for asset in ALL),
        ]
    )
    ids = [entry.media_id for entry in (whole, half, failed)]
    chosen = select_work(ledger, ids, ALL, RunIdentity("run-3", "root"))
    assert work(chosen) == [("half", frozenset({"thumbnails"}), "original"), ("failed", frozenset(ALL), "original")]
    assert chosen.already_done == (ids[0],)


def test_a_file_that_was_never_accepted_is_read_from_the_inbox_again(
    ledger: Ledger, listed: Callable[..., MediaEntry]
) -> None:
    entry = listed("a")
    ledger.record_results([], rejected=[entry])
    assert work(select_work(ledger, [entry.media_id], ALL, BACKFILL)) == [("a", frozenset(ALL), "inbox")]
    alone = select_work(ledger, [entry.media_id], ["thumbnails"], BACKFILL)
    assert (alone.items, alone.not_ingested) == ((), (entry.media_id,))


@pytest.mark.parametrize(("state", "source"), [("pending", "inbox"), ("rejected", "original"), ("gone", "original")])
def test_after_an_accepted_version_the_state_of_the_next_one_decides(
    ledger: Ledger, listed: Callable[..., MediaEntry], state: str, source: Source
) -> None:
    accept(ledger, listed("a"))
    newer = listed("a", "2")
    if state != "pending":
        ledger.record_results([], **{state: [newer]})  # type: ignore[arg-type]
    assert work(select_work(ledger, [newer.media_id], ALL, BACKFILL)) == [("a", frozenset(ALL), source)]


def test_the_order_of_the_partitions_is_kept(ledger: Ledger, listed: Callable[..., MediaEntry]) -> None:
    entries = {name: listed(name) for name in "abc"}
    ids = [entries[name].media_id for name in "cab"]
    assert [key for key, _, _ in work(select_work(ledger, ids, ALL, BACKFILL))] == ["c", "a", "b"]


def test_a_run_for_changed_sidecars_computes_metadata_from_the_stored_originals(
    ledger: Ledger, listed: Callable[..., MediaEntry]
) -> None:
    entries = [listed(name) for name in ("a.jpg", "b.jpg", "c.jpg")]
    for entry in entries:
        ledger.record_results([finished(entry, asset, "run-1") for asset in ALL])
        accept(ledger, entry)
    sidecars = [listed("a.xmp"), listed("a.jpg.xmp")]
    (batch,) = ledger.create_batches(INBOX, [ledger.waiting_refreshes(INBOX, 9)], refresh=True)
    ids = [entry.media_id for entry in entries]
    run = RunIdentity("run-2", "run-2", batch.batch_id)
    chosen = select_work(ledger, ids, ALL, run)
    assert work(chosen) == [("a.jpg", frozenset({"metadata"}), "original")]
    assert [one.media_id for one in chosen.items[0].sidecars] == [one.media_id for one in reversed(sidecars)]
    assert chosen.already_done == tuple(ids[1:])
    assert work(select_work(ledger, ids, ["thumbnails"], run)) == []


def test_sidecars_are_looked_up_for_metadata_only(ledger: Ledger, listed: Callable[..., MediaEntry]) -> None:
    entries = [listed("a.jpg"), listed("b.jpg")]
    sidecar = listed("a.xmp")
    (batch,) = ledger.create_batches(INBOX, [entries])
    ids = [entry.media_id for entry in entries]
    run = RunIdentity("run-1", "run-1", batch.batch_id)
    assert [item.sidecars for item in select_work(ledger, ids, ALL, run).items] == [(sidecar,), ()]
    assert [item.sidecars for item in select_work(ledger, ids, ["original"], run).items] == [(), ()]
