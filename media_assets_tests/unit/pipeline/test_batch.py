"""Batches on a real library in a temporary folder, with generated pictures and real decoders, without Dagster."""

import os
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from media_assets.pipeline.assets import INGEST_ASSETS, METADATA, ORIGINAL, THUMBNAILS, code_version
from media_assets.pipeline.batch import run_work
from media_assets.pipeline.library import Library
from media_assets.pipeline.outcomes import FileOutcome
from media_assets.pipeline.selection import RunIdentity
from media_assets.storage import catalog, keys
from media_assets.storage.errors import StoreFull, StoreUnreachable
from media_assets.storage.tables import list_parts
from media_assets_tests.conftest import Drop, MakeLibrary
from media_assets_tests.pictures import jpeg, png, truncated_jpeg
from media_assets_tests.unit.pipeline.batches import Ingest, entry_of, listed, rows, start

pytestmark = pytest.mark.usefixtures("_shared_decoder")


class FaultyStore:
    """A store whose writes of some keys fail, as often as ``times`` says."""

    def __init__(self, store: Any, part_of_key: str, error: Exception, times: int = 10**6) -> None:
        self._store, self._part, self._error, self.left = store, part_of_key, error, times

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    def _break(self, key: str) -> None:
        if self._part in key and self.left > 0:
            self.left -= 1
            raise self._error

    def put_file(self, key: str, path: Path, *, consume: bool = False) -> None:
        self._break(key)
        self._store.put_file(key, path, consume=consume)

    def put_bytes(self, key: str, data: bytes, *, only_if_absent: bool = False) -> bool:
        self._break(key)
        stored: bool = self._store.put_bytes(key, data, only_if_absent=only_if_absent)
        return stored


UNREACHABLE = StoreUnreachable("The store does not answer. Check the network.")


# ---------------------------------------------------------------- one pass


def test_files_become_rows_objects_and_results(library: Library, drop: Drop, ingest: Ingest) -> None:
    drop({"ann/a.jpg": jpeg(1), "b.png": png(2), "bad.jpg": truncated_jpeg(), "empty.jpg": b"", "no.jpg": b"text " * 9})
    outcomes = ingest(library)
    assert {key: one.state for key, one in outcomes.items()} == {
        "ann/a.jpg": "materialized",
        "b.png": "materialized",
        "bad.jpg": "rejected",
        "empty.jpg": "rejected",
        "no.jpg": "rejected",
    }
    files = rows(library, "files")
    assert set(files) == {"ann/a.jpg", "b.png"}
    assert (files["ann/a.jpg"]["owner"], files["b.png"]["owner"]) == ("ann", "default")
    for row in files.values():
        assert library.store.sha256(row["original_path"]) == row["sha256"] == row["input_version"]
        assert (row["code_version"], row["run_id"], row["status"]) == (code_version(ORIGINAL), "run-1", "accepted")
    assert set(rows(library, "metadata")) == {"ann/a.jpg", "b.png"}
    renditions = catalog.read_current(library.store, "renditions").to_pylist()
    assert Counter(row["asset"] for row in renditions)["thumbnails"] == 10
    assert {row["media_id"] for row in renditions if row["asset"] == "optimized"} == {
        row["media_id"] for row in renditions
    }
    assert all(library.store.exists(row["path"]) for row in renditions)
    rejected = rows(library, "rejected")
    assert {key: row["reason_code"] for key, row in rejected.items()} == {
        "bad.jpg": "truncated",
        "empty.jpg": "empty_file",
        "no.jpg": "unsupported_type",
    }
    assert all(row["permanent"] and row["attempts"] == 1 and row["message"][-1] == "." for row in rejected.values())
    quarantined = outcomes["bad.jpg"].quarantine_key
    assert quarantined is not None
    assert library.store.sha256(quarantined) == rejected["bad.jpg"]["sha256"]
    assert library.ledger.counts() == {"accepted": 2, "rejected": 3}
    assert library.ledger.batch_counts() == {"done": 1}
    assert list(library.store.scratch_dir().iterdir()) == []
    assert ingest(library) == {}


def test_only_the_smallest_rendition_is_kept_in_memory(library: Library, drop: Drop, ingest: Ingest) -> None:
    drop({"a.jpg": jpeg(1)})
    renditions = ingest(library)["a.jpg"].renditions
    assert [one.made.kind for one in renditions if one.data is not None] == ["thumb_150"]


def test_nothing_to_do_starts_nothing(library: Library) -> None:
    assert list(run_work(library, [], RunIdentity("run", "run"))) == []
    assert list(library.store.scratch_dir().iterdir()) == []


def test_results_come_in_the_order_of_the_work_in_bounded_chunks(make_library: MakeLibrary, drop: Drop) -> None:
    library = make_library(flush_files=3, workers=2)
    drop({f"{n}.jpg": jpeg(n) for n in range(8)})
    (batch,) = listed(library)
    chunks = list(start(library, batch, "run-1", [ORIGINAL, METADATA]))
    assert [len(chunk.outcomes) for chunk in chunks] == [3, 3, 2]
    assert [one.entry.source_key for chunk in chunks for one in chunk.outcomes] == [f"{n}.jpg" for n in range(8)]


def test_progress_is_told_for_every_file(library: Library, drop: Drop, ingest: Ingest) -> None:
    told: list[FileOutcome] = []
    library.on_outcome = told.append
    drop({"a.jpg": jpeg(1), "b.jpg": truncated_jpeg(), "c.jpg": b""})
    ingest(library)
    assert sorted(one.state for one in told) == ["materialized", "rejected", "rejected"]


def test_of_equal_files_of_one_owner_the_first_in_order_is_the_original(
    make_library: MakeLibrary, drop: Drop, ingest: Ingest
) -> None:
    library = make_library(workers=2)
    same = jpeg(5)
    drop({f"{owner}/{n}.jpg": same for owner in ("ann", "bob") for n in range(6)})
    outcomes = ingest(library)
    for owner in ("ann", "bob"):
        first = keys.media_id(f"{owner}/0.jpg")
        assert outcomes[f"{owner}/0.jpg"].duplicate_of is None
        assert {outcomes[f"{owner}/{n}.jpg"].duplicate_of for n in range(1, 6)} == {first}
    assert len({one.original_key for one in outcomes.values()}) == 2
    assert len(list(library.store.list("originals"))) == 2
    assert rows(library, "files")["bob/3.jpg"]["duplicate_of"] == keys.media_id("bob/0.jpg")


# ---------------------------------------------------------------- rows before events before the ledger


def test_a_run_that_dies_between_rows_and_ledger_does_that_chunk_again(make_library: MakeLibrary, drop: Drop) -> None:
    library = make_library(flush_files=2)
    drop({f"{n}.jpg": jpeg(n) for n in range(4)})
    (batch,) = listed(library)
    running = start(library, batch, "run-1")
    next(running)  # the first chunk is recorded when the second one is asked for
    second = next(running)
    assert len(list_parts(library.store, "files")) == 2
    assert library.ledger.counts() == {"accepted": 2, "pending": 2}
    running.close()  # type: ignore[attr-defined]
    assert library.ledger.counts() == {"accepted": 2, "pending": 2}
    assert not library.ledger.finish_batch(batch.batch_id)
    again = [one.entry.source_key for chunk in start(library, batch, "run-2") for one in chunk.outcomes]
    assert again == [one.entry.source_key for one in second.outcomes] == ["2.jpg", "3.jpg"]
    assert library.ledger.finish_batch(batch.batch_id)
    files = rows(library, "files")
    assert {key: row["run_id"] for key, row in files.items()} == {
        "0.jpg": "run-1",
        "1.jpg": "run-1",
        "2.jpg": "run-2",
        "3.jpg": "run-2",
    }
    assert all(catalog.check_unique(library.store, table) == [] for table in ("files", "metadata", "renditions"))


def test_rows_that_cannot_be_written_leave_no_result(library: Library, drop: Drop) -> None:
    drop({"a.jpg": jpeg(1)})
    (batch,) = listed(library)
    sound = library.store
    library.store = FaultyStore(sound, "tables/metadata", StoreFull("No space left. Free space."))  # type: ignore[assignment]
    with pytest.raises(StoreFull):
        list(start(library, batch, "run-1"))
    assert library.ledger.counts() == {"pending": 1}
    library.store = sound
    assert len(list(start(library, batch, "run-2"))) == 1
    assert len(rows(library, "files")) == 1
    assert list(sound.scratch_dir().iterdir()) == []


# ---------------------------------------------------------------- infrastructure


@pytest.mark.usefixtures("_no_waiting")
@pytest.mark.parametrize("place", ["originals/ann/", "renditions/", "quarantine/ann/"])
def test_a_store_that_refuses_some_writes_fails_those_files_only(
    library: Library, drop: Drop, ingest: Ingest, place: str
) -> None:
    drop({"ann/a.jpg": jpeg(1), "ann/bad.jpg": truncated_jpeg(), "bob/b.jpg": jpeg(2)})
    sound = library.store
    library.store = FaultyStore(sound, place, UNREACHABLE)  # type: ignore[assignment]
    outcomes = ingest(library)
    broken = {key for key, one in outcomes.items() if one.state == "failed"}
    expected = {
        "originals/ann/": {"ann/a.jpg"},
        "renditions/": {"ann/a.jpg", "bob/b.jpg"},
        "quarantine/ann/": {"ann/bad.jpg"},
    }[place]
    assert broken == expected
    assert {outcomes[key].message for key in broken} == {UNREACHABLE.message}
    assert {entry_of(library, key).state for key in broken} == {"pending"}
    assert {entry_of(library, key).attempts for key in broken} == {1}
    assert not broken.intersection(rows(library, "files"))
    assert not broken.intersection(rows(library, "rejected"))
    library.store = sound
    assert set(ingest(library)) == broken
    assert library.ledger.counts() == {"accepted": 2, "rejected": 1}


@pytest.mark.usefixtures("_no_waiting")
def test_a_short_outage_is_not_noticed(library: Library, drop: Drop, ingest: Ingest) -> None:
    drop({"a.jpg": jpeg(1)})
    library.store = FaultyStore(library.store, "originals/", UNREACHABLE, times=3)  # type: ignore[assignment]
    assert ingest(library)["a.jpg"].state == "materialized"


@pytest.mark.usefixtures("_no_waiting")
def test_an_inbox_that_does_not_answer_fails_the_file(
    library: Library, drop: Drop, ingest: Ingest, monkeypatch: pytest.MonkeyPatch
) -> None:
    drop({"a.jpg": jpeg(1), "b.jpg": jpeg(2)})
    inbox = library.inbox()
    fetch = type(inbox).fetch

    def broken(self: object, source_key: str, *rest: Any) -> str:
        if source_key == "a.jpg":
            raise UNREACHABLE
        return fetch(self, source_key, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(type(inbox), "fetch", broken)
    assert {key: one.state for key, one in ingest(library).items()} == {"a.jpg": "failed", "b.jpg": "materialized"}


def test_decoders_that_do_not_start_fail_the_files_and_reject_none(
    make_library: MakeLibrary, drop: Drop, ingest: Ingest, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    library = make_library(worker_max_tasks=9)  # with decoders of its own
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "pydantic.py").write_text("raise ImportError")
    drop({"a.jpg": jpeg(1), "b.jpg": jpeg(2)})
    with monkeypatch.context() as patch:
        patch.setenv("PYTHONPATH", str(tmp_path / "broken"))
        outcomes = ingest(library)
    assert {one.state for one in outcomes.values()} == {"failed"}
    assert "media-assets doctor" in (outcomes["a.jpg"].message or "")
    assert {one.state for one in ingest(library).values()} == {"materialized"}


# ---------------------------------------------------------------- uploads that change


def test_an_upload_that_leaves_before_it_is_read_is_gone_and_processed_when_it_is_back(
    library: Library, drop: Drop, ingest: Ingest, tmp_path: Path
) -> None:
    drop({"a.jpg": jpeg(1)})
    listed(library)
    path = tmp_path / "library" / "inbox" / "a.jpg"
    away = path.rename(tmp_path / "away.jpg")
    assert ingest(library)["a.jpg"].state == "gone"
    assert library.ledger.batch_counts() == {"done": 1}
    away.rename(path)
    assert ingest(library)["a.jpg"].state == "materialized"


def test_an_upload_that_is_overwritten_before_it_is_read_is_processed_in_its_new_version(
    library: Library, drop: Drop, ingest: Ingest
) -> None:
    drop({"a.jpg": jpeg(1)})
    (batch,) = listed(library)
    drop({"a.jpg": jpeg(2, size=(30, 20))})
    assert [one.state for chunk in start(library, batch, "run-0") for one in chunk.outcomes] == ["gone"]
    assert library.ledger.finish_batch(batch.batch_id)
    assert ingest(library)["a.jpg"].state == "materialized"
    assert rows(library, "files")["a.jpg"]["width_px"] == 30


def test_a_sound_upload_over_a_rejected_one_clears_the_rejection(library: Library, drop: Drop, ingest: Ingest) -> None:
    drop({"a.jpg": truncated_jpeg()})
    ingest(library)
    drop({"a.jpg": b"still no picture"})
    ingest(library)
    first = rows(library, "rejected")["a.jpg"]
    assert (first["reason_code"], first["run_id"]) == ("unsupported_type", "run-2")
    assert first["first_seen_at"] < first["last_seen_at"]
    drop({"a.jpg": jpeg(1)})
    assert ingest(library)["a.jpg"].state == "materialized"
    assert rows(library, "rejected") == {}
    assert set(rows(library, "files")) == {"a.jpg"}


def test_a_broken_upload_over_a_good_one_keeps_the_last_good_rows(
    library: Library, drop: Drop, ingest: Ingest, backfill: Ingest
) -> None:
    drop({"a.jpg": jpeg(1)})
    sha256 = ingest(library)["a.jpg"].sha256
    drop({"a.jpg": truncated_jpeg()})
    assert ingest(library)["a.jpg"].state == "rejected"
    assert rows(library, "files")["a.jpg"]["sha256"] == sha256
    assert set(rows(library, "metadata")) == set(rows(library, "renditions")) == {"a.jpg"}
    assert rows(library, "rejected")["a.jpg"]["sha256"] != sha256
    # A backfill works on the last good version; what lies in the inbox is as broken as before.
    assert backfill(library, INGEST_ASSETS, "a.jpg")["a.jpg"].state == "materialized"
    assert rows(library, "rejected")["a.jpg"]["reason_code"] == "truncated"
    assert entry_of(library, "a.jpg").state == "rejected"
    drop({"a.jpg": jpeg(2)})
    ingest(library)
    assert rows(library, "rejected") == {}


def test_a_version_that_comes_back_is_the_current_one_again(library: Library, drop: Drop, ingest: Ingest) -> None:
    shas = []
    for content in (jpeg(1), jpeg(2), jpeg(1)):
        drop({"a.jpg": content})
        outcome = ingest(library)["a.jpg"]
        assert outcome.duplicate_of is None
        shas.append(outcome.sha256)
    assert shas[0] == shas[2] != shas[1]
    assert rows(library, "files")["a.jpg"]["sha256"] == shas[0]


# ---------------------------------------------------------------- backfills


def test_a_backfill_reads_the_stored_original_when_the_upload_is_gone(
    library: Library, drop: Drop, ingest: Ingest, backfill: Ingest, tmp_path: Path
) -> None:
    drop({"a.jpg": jpeg(1)})
    before = ingest(library)["a.jpg"]
    (tmp_path / "library" / "inbox" / "a.jpg").unlink()
    thumbnails = before.renditions_of(THUMBNAILS)
    for rendition in thumbnails:
        library.store.delete(rendition.key)
    after = backfill(library, [THUMBNAILS], "a.jpg")["a.jpg"]
    assert (after.state, after.source, after.sha256) == ("materialized", "original", before.sha256)
    assert all(library.store.exists(one.key) for one in thumbnails)
    assert [one.made.kind for one in after.renditions] == [one.made.kind for one in thumbnails]
    assert rows(library, "files")["a.jpg"]["run_id"] == "run-1"
    runs = {row["asset"]: row["run_id"] for row in catalog.read_current(library.store, "renditions").to_pylist()}
    assert runs == {"thumbnails": "run-2", "optimized": "run-1"}
    assert entry_of(library, "a.jpg").state == "accepted"


@pytest.mark.parametrize("damage", ["bytes", "gone"])
def test_a_damaged_original_fails_with_what_to_do(
    library: Library, drop: Drop, ingest: Ingest, backfill: Ingest, damage: str
) -> None:
    drop({"a.jpg": jpeg(1), "b.jpg": jpeg(2)})
    key = ingest(library)["a.jpg"].original_key
    assert key is not None
    if damage == "bytes":
        library.store.put_bytes(key, jpeg(3))
    else:
        library.store.delete(key)
    outcomes = backfill(library, [METADATA], "a.jpg", "b.jpg")
    assert (outcomes["a.jpg"].state, outcomes["b.jpg"].state) == ("failed", "materialized")
    message = outcomes["a.jpg"].message or ""
    assert message.endswith("pload the file again.")
    assert ("other bytes" in message) == (damage == "bytes")
    assert rows(library, "metadata")["a.jpg"]["run_id"] == "run-1"


def test_a_new_upload_of_a_damaged_original_stores_it_again(library: Library, drop: Drop, ingest: Ingest) -> None:
    drop({"a.jpg": jpeg(1)})
    outcome = ingest(library)["a.jpg"]
    assert outcome.original_key is not None
    library.store.put_bytes(outcome.original_key, b"x" * outcome.entry.size_bytes)
    drop({"a.jpg": jpeg(1)})
    assert ingest(library)["a.jpg"].state == "materialized"
    assert library.store.sha256(outcome.original_key) == outcome.sha256


def test_a_rejection_by_a_backfill_is_gone_when_the_next_one_succeeds(
    make_library: MakeLibrary, drop: Drop, ingest: Ingest, backfill: Ingest
) -> None:
    """Limits may be too tight for a while; the file was never bad."""
    drop({"a.jpg": jpeg(1, size=(64, 64))})
    ingest(make_library())
    tight = make_library(max_pixels=1000)
    assert backfill(tight, [THUMBNAILS], "a.jpg")["a.jpg"].state == "rejected"
    assert rows(tight, "rejected")["a.jpg"]["reason_code"] == "too_many_pixels"
    assert set(rows(tight, "files")) == {"a.jpg"}
    wide = make_library()
    assert backfill(wide, [THUMBNAILS], "a.jpg")["a.jpg"].state == "materialized"
    assert rows(wide, "rejected") == {}
    before = len(list_parts(wide.store, "rejected"))
    backfill(wide, [THUMBNAILS], "a.jpg")
    assert len(list_parts(wide.store, "rejected")) == before  # no tombstone for what was sound


def test_originals_are_not_read_back_when_the_setting_is_off(
    make_library: MakeLibrary, drop: Drop, ingest: Ingest
) -> None:
    drop({"a.jpg": jpeg(1)})
    assert not ingest(make_library(verify_originals=False))["a.jpg"].verified
    drop({"b.jpg": jpeg(2)})
    assert ingest(make_library())["b.jpg"].verified


# ---------------------------------------------------------------- several at once


def test_two_runs_over_the_same_files_leave_one_row_each(make_library: MakeLibrary, drop: Drop) -> None:
    """A run that was declared dead may still be alive."""
    libraries = [make_library(), make_library()]
    drop({f"{n}.jpg": jpeg(n) for n in range(4)})
    (batch,) = listed(libraries[0])
    with ThreadPoolExecutor(2) as pool:
        done = list(pool.map(lambda n: list(start(libraries[n], batch, f"run-{n}")), range(2)))
    assert {one.state for chunks in done for chunk in chunks for one in chunk.outcomes} == {"materialized"}
    assert {one.duplicate_of for chunks in done for chunk in chunks for one in chunk.outcomes} == {None}
    assert len(rows(libraries[0], "files")) == 4
    assert all(catalog.check_unique(libraries[0].store, name) == [] for name in ("files", "metadata", "renditions"))
    assert libraries[0].ledger.counts() == {"accepted": 4}


def test_a_spool_that_a_dead_run_left_is_removed_after_a_day(library: Library) -> None:
    old, young = library.store.scratch_dir() / "old", library.store.scratch_dir() / "young"
    for folder in (old, young):
        folder.mkdir()
        (folder / "source").write_bytes(b"x")
    long_ago = young.stat().st_mtime - 25 * 3600
    os.utime(old, (long_ago, long_ago))
    mine = library.spool("run-1")
    assert sorted(folder.name for folder in library.store.scratch_dir().iterdir()) == sorted([mine.name, "young"])
