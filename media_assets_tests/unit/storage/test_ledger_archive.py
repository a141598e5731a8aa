"""Archived files in the ledger: which months can be archived, what is left out, and what comes back by itself."""

from datetime import UTC, datetime, timedelta

import pytest
import sqlalchemy as sa

from media_assets.storage import keys
from media_assets.storage import ledger_schema as schema
from media_assets.storage.ledger import Ledger
from media_assets.storage.ledger_archive import MonthCounts, PartitionFacts
from media_assets.storage.ledger_schema import Outcome, Preview
from media_assets_tests.unit.storage.uploads import MODIFIED, entry_of, upload

INBOX = "file:///in"
SHA = "a" * 64
NOW_MONTH = keys.month_of(datetime.now(UTC))


def accept(ledger: Ledger, *names: str) -> None:
    """Uploads that were listed and accepted one after the other."""
    for name in names:
        ledger.record_page(INBOX, [upload(name)], None, take_over=True)
        ledger.record_results([], accepted=[(entry_of(ledger, name), SHA, f"originals/{name}")])


def move_to(ledger: Ledger, month: str, *names: str) -> None:
    """Make it look as if files had come in another month."""
    with ledger._transaction() as connection:
        connection.execute(sa.update(schema.media).where(schema.media.c.source_key.in_(names)).values(month=month))


def ids(*names: str) -> list[str]:
    return [keys.media_id(name) for name in names]


def outcome(name: str, asset: str, state: str = "materialized") -> Outcome:
    return Outcome(keys.media_id(name), asset, state, SHA, "1-x", "run", "root", MODIFIED)  # type: ignore[arg-type]


def preview(name: str) -> Preview:
    return Preview(keys.media_id(name), SHA, "v", "renditions/x", 10, 10)


def test_months_are_counted_and_only_files_with_an_original_are_archived(ledger: Ledger) -> None:
    accept(ledger, "b.jpg", "a.jpg", "new.jpg")
    ledger.record_page(INBOX, [upload("bad.jpg")], None, take_over=True)
    ledger.record_results([], rejected=[entry_of(ledger, "bad.jpg")])
    move_to(ledger, "2025-03", "b.jpg", "a.jpg", "bad.jpg")

    assert ledger.month_counts() == {"2025-03": MonthCounts(2, 0), NOW_MONTH: MonthCounts(1, 0)}
    assert ledger.archive_month("2025-03") == 2
    assert ledger.month_counts() == {"2025-03": MonthCounts(2, 2), NOW_MONTH: MonthCounts(1, 0)}
    assert ledger.archived_files("2025-03") == ids("b.jpg", "a.jpg")  # as they came, not by name
    assert ledger.archived_among(ids("new.jpg", "a.jpg", "b.jpg")) == ids("b.jpg", "a.jpg")
    assert ledger.archived_count() == 2
    assert ledger.archive_month("2025-03") == 0
    assert ledger.archived_count() == 2


def test_a_month_that_is_not_finished_is_not_archived(ledger: Ledger) -> None:
    accept(ledger, "a.jpg")
    assert ledger.archive_hindrances(NOW_MONTH) == {}
    (batch,) = ledger.create_batches(INBOX, [[entry_of(ledger, "a.jpg")]])  # in work, though accepted already
    assert ledger.archive_hindrances(NOW_MONTH) == {"in_batches": 1}
    assert ledger.archive_month(NOW_MONTH) == 0
    assert ledger.finish_batch(batch.batch_id)
    assert ledger.archive_hindrances(NOW_MONTH) == {}

    ledger.record_page(INBOX, [upload("a.jpg", "2")], None, take_over=True)
    assert ledger.archive_hindrances(NOW_MONTH) == {"waiting": 1}
    ledger.record_results(
        [outcome("a.jpg", "metadata", "failed"), outcome("a.jpg", "thumbnails", "failed")],
        accepted=[(entry_of(ledger, "a.jpg"), SHA, "originals/a.jpg")],
    )
    assert ledger.archive_hindrances(NOW_MONTH) == {"failed": 1}
    ledger.record_results([outcome("a.jpg", "metadata"), outcome("a.jpg", "thumbnails")])
    ledger.record_page(INBOX, [upload("a.jpg.xmp")], None, take_over=True)
    assert ledger.archive_hindrances(NOW_MONTH) == {"sidecars": 1}
    assert ledger.archive_hindrances("2020-01") == {}
    assert ledger.archived_count() == 0


def test_nothing_wants_to_compute_archived_files(ledger: Ledger) -> None:
    accept(ledger, "old.jpg", "new.jpg")
    move_to(ledger, "2025-03", "old.jpg")
    ledger.record_results([], previews=[preview("old.jpg"), preview("new.jpg")])
    both = {media_id: {"faces"} for media_id in ids("old.jpg", "new.jpg")}
    assert ledger.unanalyzed(["faces"]) == both
    assert ledger.unanalyzed(["faces"], month="2025-03") == {keys.media_id("old.jpg"): {"faces"}}
    assert ledger.lacking(INBOX, ["faces"]) == both

    assert ledger.archive_month("2025-03") == 1
    only_new = {keys.media_id("new.jpg"): {"faces"}}
    assert ledger.unanalyzed(["faces"]) == ledger.unanalyzed(["faces"], never_tried=True) == only_new
    assert ledger.lacking(INBOX, ["faces"]) == only_new
    assert [row.media_id for row in ledger.result_versions("faces")] == ids("new.jpg")
    assert [row.media_id for row in ledger.result_versions("faces", archived=True)] == ids("old.jpg")

    ledger.reopen_files(ids("old.jpg"))
    assert ledger.unanalyzed(["faces"]) == ledger.lacking(INBOX, ["faces"]) == both


def test_what_gets_into_a_batch_is_archived_no_longer(ledger: Ledger) -> None:
    accept(ledger, "a.jpg", "b.jpg", "c.jpg")
    ledger.record_results([outcome(name, "metadata") for name in ("a.jpg", "b.jpg", "c.jpg")])
    assert ledger.archive_month(NOW_MONTH) == 3
    ledger.record_page(INBOX, [upload("a.jpg", "2"), upload("b.jpg.xmp")], None, take_over=True)
    assert ledger.archived_count() == 3  # still: no partition is there
    waiting = ledger.waiting(INBOX, 9)
    ledger.create_batches(INBOX, [waiting])
    assert ledger.archived_files(NOW_MONTH) == ids("b.jpg", "c.jpg")
    ledger.create_batches(INBOX, [ledger.waiting_refreshes(INBOX, 9)], refresh=True)
    assert ledger.archived_files(NOW_MONTH) == ids("c.jpg")


@pytest.mark.parametrize("state", ["rejected", "gone"])
def test_facts_about_partitions(ledger: Ledger, state: str) -> None:
    accept(ledger, "a.jpg", "b.jpg", "c.jpg")
    ledger.record_page(INBOX, [upload("d.jpg"), upload("e.jpg")], None, take_over=True)
    (batch,) = ledger.create_batches(INBOX, [[entry_of(ledger, "d.jpg")]])
    ledger.record_results([], **{state: [entry_of(ledger, "d.jpg")]})  # type: ignore[arg-type]
    move_to(ledger, "2025-03", "b.jpg")
    ledger.archive_month("2025-03")
    facts = {one.media_id: one for one in ledger.partition_facts()}
    a, b, d, e = ids("a.jpg", "b.jpg", "d.jpg", "e.jpg")
    assert list(facts)[:3] == ids("a.jpg", "b.jpg", "c.jpg")
    assert facts[a] == PartitionFacts(a, "accepted", has_original=True, is_archived=False, is_in_work=False)
    assert facts[b] == PartitionFacts(b, "accepted", has_original=True, is_archived=True, is_in_work=False)
    assert facts[d] == PartitionFacts(d, state, has_original=False, is_archived=False, is_in_work=True)  # type: ignore[arg-type]
    assert facts[e] == PartitionFacts(e, "pending", has_original=False, is_archived=False, is_in_work=True)
    ledger.finish_batch(batch.batch_id)
    assert not {one.media_id: one for one in ledger.partition_facts()}[d].is_in_work


def test_a_mark_survives_a_new_start_of_the_program(ledger: Ledger, url: str) -> None:
    accept(ledger, "a.jpg")
    ledger.archive_month(NOW_MONTH)
    ledger.close()
    again = Ledger(url)
    assert again.archived_files(NOW_MONTH) == ids("a.jpg")
    with again._transaction() as connection:
        at = connection.scalar(sa.text("SELECT archived_at FROM ma_archived"))
    assert at is not None
    assert abs(datetime.fromisoformat(str(at)).replace(tzinfo=UTC) - datetime.now(UTC)) < timedelta(minutes=1)
    again.close()
