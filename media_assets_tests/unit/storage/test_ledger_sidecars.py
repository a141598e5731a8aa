"""Sidecars in the ledger, and ledgers of the version that did not know them; on SQLite."""

import pytest
import sqlalchemy as sa

from media_assets.media.errors import ReasonCode
from media_assets.storage import keys, ledger_schema
from media_assets.storage.errors import LedgerError
from media_assets.storage.inbox import InboxObject
from media_assets.storage.ledger import Ledger, PageResult
from media_assets.storage.ledger_schema import Outcome, SidecarUse
from media_assets_tests.unit.storage.uploads import MODIFIED, entry_of, upload

INBOX, OTHER = "file:///in", "file:///other"
AT = MODIFIED


def record(ledger: Ledger, *objects: InboxObject, inbox: str = INBOX, take_over: bool = True) -> PageResult:
    return ledger.record_page(inbox, objects, None, take_over=take_over)


def uses(ledger: Ledger, key: str) -> list[SidecarUse]:
    found = ledger.sidecars_of([entry_of(ledger, key)])
    return [SidecarUse(one.media_id, one.etag, one.size_bytes, "a" * 64) for one in found.get(keys.media_id(key), [])]


def process(ledger: Ledger, *names: str, assets: tuple[str, ...] = ("original", "metadata")) -> None:
    """Accept uploads, or compute them again, with the sidecars that are there now."""
    entries = [entry_of(ledger, name) for name in names]
    ledger.record_results(
        [
            Outcome(one.media_id, asset, "materialized", "a" * 64, "1-x", "run", "run", AT)
            for one in entries
            for asset in assets
        ],
        accepted=[(one, "a" * 64, f"originals/{one.media_id}") for one in entries],
        sidecars=[(one, uses(ledger, one.source_key)) for one in entries] if "metadata" in assets else [],
    )


def waiting(ledger: Ledger, inbox: str = INBOX) -> list[str]:
    return [entry.source_key for entry in ledger.waiting_refreshes(inbox, 100)]


def sidecars(ledger: Ledger, key: str) -> list[str]:
    found = ledger.sidecars_of([entry_of(ledger, key)])
    return [one.source_key for one in found.get(keys.media_id(key), [])]


# ---------------------------------------------------------------- what is listed


def test_a_sidecar_is_no_media_file_and_waits_for_no_batch(ledger: Ledger) -> None:
    found = record(ledger, upload("a.jpg"), upload("a.jpg.xmp"), upload("a.jpg.json"), upload("package.json"))
    assert (found.new, found.sidecars) == (2, 2)
    assert [entry.source_key for entry in ledger.waiting(INBOX, 10)] == ["a.jpg", "package.json"]
    assert ledger.counts() == {"pending": 2, "sidecar": 2}
    again = record(ledger, upload("a.jpg"), upload("a.jpg.xmp"), upload("a.jpg.json"), upload("package.json"))
    assert (again.new, again.sidecars) == (0, 2)


def test_what_cannot_be_read_is_refused_whatever_it_is_called_until_it_can(ledger: Ledger) -> None:
    assert record(ledger, upload("a.xmp", "1-unreadable", problem=ReasonCode.NOT_A_FILE)).new == 1
    assert entry_of(ledger, "a.xmp").state == "pending"
    ledger.record_results([], rejected=[entry_of(ledger, "a.xmp")])
    assert record(ledger, upload("a.xmp")).new == 0
    assert entry_of(ledger, "a.xmp").state == "sidecar"
    assert ledger.lone_sidecars(10) == (1, ["a.xmp"])  # it is not its own media file


def test_a_picture_that_was_accepted_under_the_name_of_a_sidecar_stays_a_picture(ledger: Ledger) -> None:
    """Older versions looked at the content only."""
    record(ledger, upload("a.jpg"))
    process(ledger, "a.jpg")
    with sa.create_engine(ledger._engine.url).begin() as connection:
        media_id = keys.media_id("a.jpg.xmp")
        connection.execute(
            sa.update(ledger_schema.media).values(media_id=media_id, source_key="a.jpg.xmp", inbox=INBOX)
        )
    assert record(ledger, upload("a.jpg.xmp", "2")) == PageResult(1, (), 0)
    assert entry_of(ledger, "a.jpg.xmp").state == "pending"


def test_sidecars_of_files_are_looked_up_together_the_most_trusted_first(ledger: Ledger) -> None:
    names = ["a.jpg", "a.dng", "b.jpg", "u/a.jpg", "a.jpg.json", "a.xmp", "a.jpg.xmp", "u/b.jpg.xmp", "a.DNG.xmp"]
    record(ledger, *(upload(name) for name in names))
    entries = [entry_of(ledger, name) for name in names[:4]]
    found = ledger.sidecars_of(entries)
    assert {entry.source_key: [one.source_key for one in found.get(entry.media_id, [])] for entry in entries} == {
        "a.jpg": ["a.jpg.xmp", "a.xmp", "a.jpg.json"],
        "a.dng": ["a.DNG.xmp", "a.xmp"],
        "b.jpg": [],
        "u/a.jpg": [],
    }


def test_sidecars_without_a_media_file_are_counted_and_named(ledger: Ledger) -> None:
    record(ledger, upload("a.jpg"), upload("a.xmp"), upload("c.jpg.xmp"), upload("b.jpg.json"))
    assert ledger.lone_sidecars(10) == (2, ["b.jpg.json", "c.jpg.xmp"])
    assert ledger.lone_sidecars(1) == (2, ["b.jpg.json"])
    record(ledger, upload("c.jpg"))
    assert ledger.lone_sidecars(0) == (1, [])
    ledger.record_results([], rejected=[entry_of(ledger, "c.jpg")])
    assert ledger.lone_sidecars(10) == (1, ["b.jpg.json"])  # there is a file, though it is refused


# ---------------------------------------------------------------- what is computed again


def test_a_sidecar_that_was_there_before_makes_no_more_work(ledger: Ledger) -> None:
    record(ledger, upload("a.jpg.xmp"))
    record(ledger, upload("a.jpg"))
    process(ledger, "a.jpg")
    record(ledger, upload("a.jpg"), upload("a.jpg.xmp"))
    assert waiting(ledger) == []


def test_each_version_of_a_sidecar_has_the_metadata_computed_again_once(ledger: Ledger) -> None:
    record(ledger, upload("a.jpg"), upload("a.dng"), upload("b.jpg"))
    process(ledger, "a.jpg", "a.dng", "b.jpg")
    for etag in ("1", "2", "1"):
        record(ledger, upload("a.xmp", etag), upload("b.jpg.txt"))
        assert waiting(ledger) == ["a.dng", "a.jpg"]
        record(ledger, upload("a.xmp", etag))
        assert waiting(ledger) == ["a.dng", "a.jpg"]
        process(ledger, "a.jpg", "a.dng", assets=("metadata",))
        record(ledger, upload("a.xmp", etag))
        assert waiting(ledger) == []


def test_a_sidecar_that_came_while_its_file_was_in_work_is_found_by_the_next_sweep(ledger: Ledger) -> None:
    record(ledger, upload("a.jpg"))
    record(ledger, upload("a.jpg.xmp"))
    entry = entry_of(ledger, "a.jpg")
    done = [Outcome(entry.media_id, "metadata", "materialized", "a" * 64, "1-x", "run", "run", AT)]
    ledger.record_results(done, accepted=[(entry, "a" * 64, "originals/x")], sidecars=[(entry, [])])
    assert waiting(ledger) == []
    record(ledger, upload("a.jpg"), upload("a.jpg.xmp"))
    assert waiting(ledger) == ["a.jpg"]


def test_metadata_that_was_never_asked_for_is_not_computed_for_a_sidecar(ledger: Ledger) -> None:
    record(ledger, upload("a.jpg"))
    process(ledger, "a.jpg", assets=("original",))
    record(ledger, upload("a.jpg.xmp"))
    assert waiting(ledger) == []


def test_a_file_that_waits_anyway_reads_its_sidecars_then(ledger: Ledger) -> None:
    record(ledger, upload("a.jpg"))
    process(ledger, "a.jpg")
    record(ledger, upload("a.jpg.xmp"))
    (batch,) = ledger.create_batches(INBOX, [ledger.waiting_refreshes(INBOX, 10)], refresh=True)
    record(ledger, upload("a.jpg", "2"), upload("a.jpg.xmp", "2"))
    assert waiting(ledger) == []
    assert [entry.source_key for entry in ledger.waiting(INBOX, 10)] == ["a.jpg"]
    assert ledger.batch_counts() == {"done": 1}  # nothing of it is left to do
    assert ledger.batch_members(batch.batch_id) == []


def test_a_sidecar_of_another_inbox_has_the_work_done_there(ledger: Ledger) -> None:
    record(ledger, upload("a.jpg"))
    process(ledger, "a.jpg")
    record(ledger, upload("a.jpg.xmp"), inbox=OTHER)
    assert (waiting(ledger), waiting(ledger, OTHER)) == ([], ["a.jpg"])


def test_a_conflict_leaves_no_sidecars_of_the_wrong_folder(ledger: Ledger) -> None:
    record(ledger, upload("a.jpg"), upload("a.jpg.xmp"))
    process(ledger, "a.jpg")
    found = record(ledger, upload("a.jpg", "other"), upload("a.jpg.json"), inbox=OTHER, take_over=False)
    assert (found.conflicts, found.sidecars) == (("a.jpg",), 1)
    ledger.forget_waiting(OTHER)
    assert (waiting(ledger), waiting(ledger, OTHER)) == ([], [])
    assert sidecars(ledger, "a.jpg") == ["a.jpg.xmp"]
    assert ledger.counts() == {"accepted": 1, "sidecar": 1}


# ---------------------------------------------------------------- batches of them


def test_a_batch_of_refreshes_is_done_when_its_metadata_is_computed(ledger: Ledger) -> None:
    record(ledger, upload("a.jpg"), upload("b.jpg"))
    process(ledger, "a.jpg", "b.jpg")
    record(ledger, upload("a.xmp"), upload("b.xmp"))
    (batch,) = ledger.create_batches(INBOX, [ledger.waiting_refreshes(INBOX, 10)], refresh=True)
    assert batch.is_refresh
    assert waiting(ledger) == []
    assert [entry.source_key for entry in ledger.pending_members(batch.batch_id)] == ["a.jpg", "b.jpg"]
    assert ledger.waiting(INBOX, 10) == []
    process(ledger, "a.jpg", assets=("metadata",))
    assert not ledger.finish_batch(batch.batch_id)
    assert [entry.source_key for entry in ledger.pending_members(batch.batch_id)] == ["b.jpg"]
    process(ledger, "b.jpg", assets=("metadata",))
    assert ledger.finish_batch(batch.batch_id)
    assert ledger.counts() == {"accepted": 2, "sidecar": 2}


def test_a_newer_sidecar_takes_its_file_out_of_a_batch_that_was_given_up(ledger: Ledger) -> None:
    record(ledger, upload("a.jpg"))
    process(ledger, "a.jpg")
    record(ledger, upload("a.xmp"))
    (batch,) = ledger.create_batches(INBOX, [ledger.waiting_refreshes(INBOX, 10)], refresh=True)
    assert ledger.reopen_batch(batch, message="x", not_before=AT, max_attempts=1).state == "exhausted"
    record(ledger, upload("a.xmp"))
    assert waiting(ledger) == []
    record(ledger, upload("a.xmp", "2"))
    assert waiting(ledger) == ["a.jpg"]
    assert ledger.batch_counts() == {"done": 1}


# ---------------------------------------------------------------- ledgers of version 1

NEW_TABLES = ("ma_media_key", "ma_sidecar_key", "ma_sidecar_use", "ma_refresh", "ma_pair")


def as_version_1(url: str, *keys_: str) -> None:
    """Turn a ledger into one of version 1 in which these uploads were refused."""
    ledger = Ledger(url)
    record(ledger, *(upload(key) for key in keys_))
    with ledger._engine.begin() as connection:
        connection.execute(
            sa.update(ledger_schema.media)
            .where(ledger_schema.media.c.source_key.in_(keys_))
            .values(state="rejected", first_rejected_at=AT, attempts=1)
        )
        for table in NEW_TABLES:
            connection.execute(sa.text(f"DROP TABLE {table}"))
        connection.execute(sa.text("UPDATE ma_ledger SET schema_version = 1"))
    ledger.close()


def test_an_old_ledger_is_upgraded_in_place_and_finds_its_sidecars(url: str) -> None:
    old = Ledger(url)
    record(old, *(upload(f"{n}.jpg") for n in range(1000)))
    process(old, *(f"{n}.jpg" for n in range(1000)))
    old.close()
    as_version_1(url, "7.jpg.xmp", "package.json")
    for _ in range(2):
        ledger = Ledger(url)
        assert ledger.counts() == {"accepted": 1000, "rejected": 2}
        ledger.close()
    ledger = Ledger(url)
    assert record(ledger, upload("7.jpg.xmp"), upload("package.json")) == PageResult(0, (), 1)
    assert ledger.counts() == {"accepted": 1000, "rejected": 1, "sidecar": 1}
    assert waiting(ledger) == ["7.jpg"]
    assert ledger.lone_sidecars(10) == (0, [])
    # Its row in the table of refused files has to go.
    (refused,) = ledger.once_rejected_sidecars(INBOX)
    assert refused.source_key == "7.jpg.xmp"
    ledger.clear_rejections([refused.media_id])
    assert ledger.once_rejected_sidecars(INBOX) == []
    ledger.close()


def test_the_tables_of_this_version_are_those_that_the_upgrade_adds(url: str) -> None:
    as_version_1(url)
    ledger = Ledger(url)
    found = set(sa.inspect(ledger._engine).get_table_names())
    ledger.close()
    assert found >= {*NEW_TABLES, *ledger_schema.metadata.tables}
    with sa.create_engine(url).connect() as connection:
        assert connection.scalar(sa.text("SELECT schema_version FROM ma_ledger")) == ledger_schema.SCHEMA_VERSION == 4


def test_a_ledger_of_a_newer_version_is_refused(url: str) -> None:
    Ledger(url).close()
    with sa.create_engine(url).begin() as connection:
        connection.execute(sa.text("UPDATE ma_ledger SET schema_version = 5"))
    with pytest.raises(LedgerError, match=r"schema version 5.*Upgrade media_assets\."):
        Ledger(url)
