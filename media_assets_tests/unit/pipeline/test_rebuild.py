"""A lost ledger is made again from the tables: what was known is known again, and nothing is processed twice."""

import json
import shutil
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import sqlalchemy as sa
from click.testing import CliRunner

from media_assets.cli import main
from media_assets.pipeline.assets import INGEST_ASSETS, OPTIMIZED, ORIGINAL
from media_assets.pipeline.departures import depart
from media_assets.pipeline.library import Library
from media_assets.pipeline.rebuild import RebuildReport, rebuild_ledger
from media_assets.storage import keys
from media_assets.storage.ledger_schema import MediaEntry
from media_assets_tests.conftest import Drop, MakeLibrary
from media_assets_tests.pictures import jpeg
from media_assets_tests.unit.pipeline.batches import Ingest, listed, rows

pytestmark = pytest.mark.usefixtures("_shared_decoder")

TIMES = {"first_seen_at", "seen_at", "modified_at", "at", "batch_id", "attempts"}


def contents(library: Library, *tables: str) -> dict[str, list[dict[str, Any]]]:
    """Rows of tables of the ledger, without times and batches."""
    engine = sa.create_engine(library.settings.ledger_database_url)
    with engine.connect() as connection:
        found = {
            name: sorted(
                (
                    {
                        key: value is None if key == "first_rejected_at" else value
                        for key, value in row._asdict().items()
                        if key not in TIMES
                    }
                    for row in connection.execute(sa.text(f"SELECT * FROM {name}"))
                ),
                key=repr,
            )
            for name in tables
        }
    engine.dispose()
    return found


def recorded_nothing(asset: str) -> dict[str, str]:
    return {}


def lost(library: Library) -> None:
    """Everything that the ledger knew."""
    library.ledger.forget_everything()


def rebuilt(library: Library) -> RebuildReport:
    return rebuild_ledger(library, library.inbox(), recorded_nothing)


ALL = ("ma_media", "ma_original", "ma_outcome", "ma_preview", "ma_pair", "ma_media_key")


def test_the_ledger_is_the_same_as_before(library: Library, drop: Drop, ingest: Ingest) -> None:
    drop({"alice/a.jpg": jpeg(1), "alice/b.jpg": jpeg(1), "bob/a.jpg": jpeg(1), "broken.jpg": b"no picture"})
    drop({"new.jpg": jpeg(2), "c.jpg": jpeg(3, (900, 700))})
    ingest(library)
    drop({"new.jpg": jpeg(4)})  # replaces an accepted version
    drop({"c.jpg": b"no picture either"})  # is refused after one was accepted
    ingest(library)
    before = contents(library, *ALL)
    lost(library)
    assert library.ledger.is_empty()
    report = rebuilt(library)
    after = contents(library, *ALL)
    # Tables say nothing of a web version that would have been larger, nor of what a refused version did not get.
    tables_tell = [row for row in before["ma_outcome"] if row["asset"] != OPTIMIZED and row["state"] == "materialized"]
    assert [row for row in tables_tell if row not in after["ma_outcome"]] == []
    for name in set(ALL) - {"ma_outcome"}:
        assert after[name] == before[name], name
    assert (report.accepted, report.rejected, report.new) == (4, 2, 0)
    assert listed(library) == []
    assert len(after["ma_original"]) == 5  # the replaced version of new.jpg too


def test_what_came_meanwhile_is_new(library: Library, drop: Drop, ingest: Ingest) -> None:
    drop({"a.jpg": jpeg(1), "b.jpg": jpeg(2)})
    ingest(library, (ORIGINAL,))
    lost(library)
    drop({"b.jpg": jpeg(3), "c.jpg": jpeg(4)})
    assert rebuilt(library).new == 2
    assert set(ingest(library, (ORIGINAL,))) == {"b.jpg", "c.jpg"}
    assert len(rows(library, "files")) == 3


def test_rows_stay_in_the_month_of_their_file(library: Library, drop: Drop, ingest: Ingest) -> None:
    drop({"a.jpg": jpeg(1)})
    ingest(library, (ORIGINAL,))
    (entry,) = library.ledger.entries([keys.media_id("a.jpg")]).values()
    _move_month(library, entry, "2021-03")
    lost(library)
    rebuilt(library)
    drop({"a.jpg": jpeg(2)})
    ingest(library, (ORIGINAL,))
    assert rows(library, "files").keys() == {"a.jpg"}
    assert library.ledger.entries([entry.media_id])[entry.media_id].month == "2021-03"


def _move_month(library: Library, entry: MediaEntry, month: str) -> None:
    root = library.settings.library_root / "tables"
    for path in list(root.rglob("month=*/*.parquet")):
        target = path.parent.with_name(f"month={month}") / path.name
        target.parent.mkdir(parents=True, exist_ok=True)
        path.rename(target)
    assert entry.month != month


def test_uploads_of_unknown_version_are_known_by_their_bytes(library: Library, drop: Drop, ingest: Ingest) -> None:
    drop({"a.jpg": jpeg(1), "b.jpg": jpeg(2)})
    ingest(library, (ORIGINAL,))
    for path in (library.settings.library_root / "tables" / "files").rglob("*.parquet"):
        older = pq.ParquetFile(path).read()
        pq.write_table(older.drop_columns(["etag"]), path)
    lost(library)
    other = bytearray(jpeg(2))
    other[-3] ^= 1  # as long, and another file
    drop({"b.jpg": bytes(other)})
    report = rebuilt(library)
    assert (report.compared, report.new) == (2, 1)
    assert set(ingest(library, (ORIGINAL,))) == {"b.jpg"}


def test_results_without_rows_are_known_from_what_was_recorded(library: Library, drop: Drop, ingest: Ingest) -> None:
    drop({"a.jpg": jpeg(1), "b.jpg": jpeg(2)})
    outcomes = ingest(library)
    lost(library)
    known = {
        keys.media_id("a.jpg"): f"{(outcomes['a.jpg'].sha256 or '')[:16]}.1-abc",
        keys.media_id("b.jpg"): "0000.1-abc",
    }
    rebuild_ledger(library, library.inbox(), lambda asset: known if asset == "texts" else {})
    found = library.ledger.results_of(known, ["texts"])
    assert {media_id: found[media_id]["texts"].code_version for media_id in found} == {keys.media_id("a.jpg"): "1-abc"}


def test_metadata_of_files_with_sidecars_is_all_that_is_computed_again(
    library: Library, drop: Drop, ingest: Ingest
) -> None:
    drop({"a.jpg": jpeg(1), "a.jpg.xmp": b"<x:xmpmeta xmlns:x='adobe:ns:meta/'/>", "b.jpg": jpeg(2)})
    ingest(library)
    assert listed(library) == []
    lost(library)
    rebuilt(library)
    (batch,) = listed(library)
    assert batch.is_refresh
    assert [entry.source_key for entry in library.ledger.batch_members(batch.batch_id)] == ["a.jpg"]


def test_uploads_that_were_to_leave_still_do(make_library: MakeLibrary, drop: Drop, ingest: Ingest) -> None:
    library = make_library(after_ingest="delete")
    drop({"a.jpg": jpeg(1), "b.jpg": jpeg(2)})
    ingest(library, (ORIGINAL,))
    assert depart(library, library.inbox(), max_files=1).left == 1
    lost(library)
    rebuilt(library)
    report = depart(library, library.inbox())
    assert (report.left, report.gone) == (1, 1)


def test_doing_it_twice_changes_nothing(library: Library, drop: Drop, ingest: Ingest) -> None:
    drop({"a.jpg": jpeg(1), "b.jpg": b"no"})
    ingest(library, INGEST_ASSETS)
    lost(library)
    rebuilt(library)
    first = contents(library, *ALL)
    rebuilt(library)
    assert contents(library, *ALL) == first


def test_the_place_of_an_overwritten_original_stays_handed_over(library: Library, drop: Drop, ingest: Ingest) -> None:
    drop({"a.jpg": jpeg(1), "b.jpg": jpeg(1)})
    ingest(library, (ORIGINAL,))
    drop({"a.jpg": jpeg(2)})
    ingest(library, (ORIGINAL,))
    before = contents(library, "ma_original")
    lost(library)
    rebuilt(library)
    assert contents(library, "ma_original") == before


def test_the_command_makes_a_lost_ledger_again_and_never_overwrites_one(
    library: Library, drop: Drop, ingest: Ingest
) -> None:
    drop({"a.jpg": jpeg(1), "b.jpg": b"no picture"})
    ingest(library, (ORIGINAL,))
    call = ["rebuild", "--library", library.settings.library_url, "--json"]
    refused = CliRunner().invoke(main, call)
    assert refused.exit_code == 2
    assert "--force" in refused.output
    shutil.rmtree(library.settings.state_dir)
    done = CliRunner(env={"MEDIA_ASSETS_INBOX_SETTLE_S": "0"}).invoke(main, call)
    assert done.exit_code == 0, done.output
    told = json.loads(done.stdout)
    assert {name: told[name] for name in ("accepted", "rejected", "listed", "new", "partitions_added")} == {
        "accepted": 1,
        "rejected": 1,
        "listed": 2,
        "new": 0,
        "partitions_added": 1,
    }
    forced = json.loads(CliRunner().invoke(main, [*call, "--force"]).stdout)
    assert (forced["accepted"], forced["new"], forced["partitions_added"]) == (1, 0, 0)


def test_archived_files_stay_archived_when_a_ledger_is_made_again(library: Library, drop: Drop, ingest: Ingest) -> None:
    drop({"a.jpg": jpeg(1), "b.jpg": jpeg(2)})
    ingest(library, (ORIGINAL,))
    (month,) = library.ledger.month_counts()
    assert library.ledger.archive_month(month) == 2
    library.ledger.reopen_files([keys.media_id("b.jpg")])
    call = ["rebuild", "--library", library.settings.library_url, "--json", "--force"]
    told = json.loads(CliRunner(env={"MEDIA_ASSETS_INBOX_SETTLE_S": "0"}).invoke(main, call).stdout)
    assert (told["accepted"], told["partitions_added"]) == (2, 1)
    assert library.ledger.archived_count() == 1


def test_the_command_names_a_library_without_tables(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    result = CliRunner().invoke(main, ["rebuild", "--library", str(tmp_path / "empty")])
    assert result.exit_code == 2
    assert "no tables" in result.output
