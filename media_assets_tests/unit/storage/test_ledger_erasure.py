"""What the ledger forgets when files are erased: every table has its rule, and no row of theirs is left in the file."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest
import sqlalchemy as sa

from media_assets.storage import keys, ledger_schema
from media_assets.storage.errors import LedgerError
from media_assets.storage.inbox import InboxObject
from media_assets.storage.ledger import Ledger
from media_assets.storage.ledger_erasure import RULES
from media_assets.storage.ledger_refusals import refusal_mark

AT = datetime(2026, 5, 6, tzinfo=UTC)
INBOX = "/inbox"


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    opened = Ledger(f"sqlite:///{tmp_path / 'ledger.db'}")
    yield opened
    opened.close()


def upload(source_key: str, etag: str = "v1") -> InboxObject:
    return InboxObject(source_key, etag, 5, AT)


def listed(ledger: Ledger, *source_keys: str, etag: str = "v1") -> int:
    return ledger.record_page(INBOX, [upload(key, etag) for key in source_keys], None, take_over=True).new


def every_row_about(ledger: Ledger, media_id: str) -> None:
    """Put a row about a file into every table that goes with its files."""
    with ledger._transaction() as connection:
        for name, rule in RULES.items():
            table = ledger_schema.metadata.tables[name]
            if rule != "of_files" or name == "ma_media":
                continue
            values = {column.name: _value(column, media_id) for column in table.c}
            connection.execute(sa.delete(table).where(table.c.media_id == media_id))
            connection.execute(sa.insert(table).values(**values | {"media_id": media_id}))


def _value(column: "sa.Column[object]", about: str) -> object:
    if isinstance(column.type, ledger_schema.UtcDateTime):
        return AT
    python = column.type.python_type
    return about[:7] if python is str else python(1)


def test_every_table_has_its_rule() -> None:
    assert set(RULES) == set(ledger_schema.metadata.tables), "say in RULES what erasing does to a new table"
    of_files = [name for name, rule in RULES.items() if rule == "of_files"]
    assert all("media_id" in ledger_schema.metadata.tables[name].c for name in of_files)
    kept = [ledger_schema.metadata.tables[name] for name, rule in RULES.items() if rule == "kept"]
    assert not [table.name for table in kept if {"media_id", "owner", "source_key"} & set(table.c.keys())]


def test_nothing_is_left_of_a_file_in_any_table(ledger: Ledger, tmp_path: Path) -> None:
    listed(ledger, "ann/telling-name.jpg", "bob/other.jpg")
    gone, stays = keys.media_id("ann/telling-name.jpg"), keys.media_id("bob/other.jpg")
    every_row_about(ledger, gone)
    every_row_about(ledger, stays)
    deleted = ledger.forget_files([gone])
    assert {name for name, rule in RULES.items() if rule == "of_files"} <= set(deleted)
    ledger.give_back_space()
    with closing(sqlite3.connect(tmp_path / "ledger.db")) as connection:
        text = "\n".join(connection.iterdump())
    assert gone not in text
    assert "telling-name" not in text
    assert stays in text
    raw = b"".join(path.read_bytes() for path in tmp_path.glob("ledger.db*"))
    assert b"telling" not in raw
    assert stays.encode() in raw
    assert ledger.forget_files([gone]) == {}


def test_deleted_rows_are_in_the_file_until_it_is_written_anew(ledger: Ledger, tmp_path: Path) -> None:
    listed(ledger, "ann/telling-name.jpg")
    ledger.forget_files([keys.media_id("ann/telling-name.jpg")])
    assert b"telling-name" in b"".join(path.read_bytes() for path in tmp_path.glob("ledger.db*"))


def test_an_owner_leaves_with_contents_that_no_upload_has_any_more(ledger: Ledger) -> None:
    listed(ledger, "ann/a.jpg", "bob/b.jpg")
    ledger.claim_original("ann", "a" * 64, "long-gone-000000000000", "originals/ann/2026/05/x.jpg")
    ledger.claim_original("bob", "a" * 64, keys.media_id("bob/b.jpg"), "originals/bob/2026/05/x.jpg")
    ann = [entry.media_id for entry in ledger.entries_of("ann")]
    assert ann == [keys.media_id("ann/a.jpg")]
    assert ledger.versions_of_others({"a" * 64}, {*ann, "long-gone-000000000000"}) == (set(), {("bob", "a" * 64)})
    assert [row[1:3] for row in ledger.contents_of(ann, "ann")] == [("a" * 64, "originals/ann/2026/05/x.jpg")]
    ledger.forget_files(ann, owner="ann")
    assert ledger.contents_of(ann, "ann") == []
    assert len(ledger.contents_of([], "bob")) == 1


def test_a_batch_begins_and_ends_with_files_that_it_has(ledger: Ledger) -> None:
    names = ["ann/a.jpg", "bob/b.jpg", "ann/c.jpg"]
    listed(ledger, *names)
    ledger.create_batches(INBOX, [ledger.waiting(INBOX, 10)])
    (batch,) = ledger.unfinished(9)
    assert (batch.first_media_id, batch.file_count) == (keys.media_id("ann/a.jpg"), 3)
    ledger.forget_files([keys.media_id("ann/a.jpg"), keys.media_id("ann/c.jpg")])
    (batch,) = ledger.unfinished(9)
    only = keys.media_id("bob/b.jpg")
    assert (batch.first_media_id, batch.last_media_id, batch.file_count, batch.size_bytes) == (only, only, 1, 5)
    ledger.forget_files([only])
    assert ledger.unfinished(9) == []


def test_sidecars_go_with_their_last_file(ledger: Ledger) -> None:
    listed(ledger, "ann/a.jpg", "ann/a.png", "ann/b.jpg", "ann/a.xmp", "ann/b.jpg.xmp")
    a, b = keys.media_id("ann/a.jpg"), keys.media_id("ann/b.jpg")
    assert [one.source_key for one in ledger.lonely_sidecars({a, b})] == ["ann/b.jpg.xmp"]
    everything = {a, b, keys.media_id("ann/a.png")}
    assert {one.source_key for one in ledger.lonely_sidecars(everything)} == {"ann/a.xmp", "ann/b.jpg.xmp"}


def test_a_listing_that_stands_at_an_erased_file_begins_anew(ledger: Ledger) -> None:
    ledger.record_page(INBOX, [upload("ann/a.jpg")], "ann/a.jpg", take_over=True)
    ledger.forget_files([keys.media_id("ann/a.jpg")])
    status = ledger.sweep_status(INBOX)
    assert status is not None
    assert status.position is None


def test_answers_of_geocoders_for_their_places_go_too(ledger: Ledger) -> None:
    from media_assets.media.places import Place

    for cell in [(52_520, 13_405), (48_137, 11_575)]:
        ledger.remember_place("https://geo", cell, Place("X", None, "DE"), AT)
    assert ledger.forget_files([], cells=[(52_520, 13_405)]) == {"ma_place": 1}
    assert set(ledger.known_places("https://geo", [(52_520, 13_405), (48_137, 11_575)])) == {(48_137, 11_575)}


def test_an_erased_version_does_not_come_back_and_a_new_one_does(ledger: Ledger) -> None:
    assert listed(ledger, "ann/a.jpg", "bob/b.jpg") == 2
    ledger.refuse([refusal_mark("ann/a.jpg", "v1", 5)], "0" * 12)
    ledger.forget_files([keys.media_id("ann/a.jpg")])
    assert listed(ledger, "ann/a.jpg", "bob/b.jpg") == 0
    assert ledger.entries([keys.media_id("ann/a.jpg")]) == {}
    assert listed(ledger, "ann/a.jpg", etag="v2") == 1
    ledger.forget_files([keys.media_id("ann/a.jpg")])
    assert (ledger.refusal_count(), ledger.lift_refusals("0" * 12), ledger.refusal_count()) == (1, 1, 0)
    assert listed(ledger, "ann/a.jpg") == 1


def test_a_refusal_tells_neither_name_nor_version(ledger: Ledger, tmp_path: Path) -> None:
    ledger.refuse([refusal_mark("ann/telling.jpg", "etag-of-it", 5)], "0" * 12)
    raw = b"".join(path.read_bytes() for path in tmp_path.glob("ledger.db*"))
    assert b"telling" not in raw
    assert b"etag-of-it" not in raw


def test_a_database_that_is_in_use_is_named(ledger: Ledger, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("media_assets.storage.database_space._PATIENCE_S", 0.1)
    with closing(sqlite3.connect(tmp_path / "ledger.db", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(LedgerError, match="Stop the service"):
            ledger.give_back_space()
