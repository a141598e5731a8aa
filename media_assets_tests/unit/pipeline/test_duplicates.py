"""Files with the same bytes, files that are overwritten, renamed or deleted: what the tables say then."""

from pathlib import Path

import pytest

from media_assets.pipeline.library import Library
from media_assets.storage import keys
from media_assets.storage.tables import read_parts
from media_assets_tests.conftest import Drop
from media_assets_tests.pictures import jpeg
from media_assets_tests.unit.pipeline.batches import Ingest, rows

pytestmark = pytest.mark.usefixtures("_shared_decoder")

ASSETS = ("original",)


def duplicates(library: Library) -> dict[str, str | None]:
    """Source key of what each file is a duplicate of."""
    found = rows(library, "files")
    names = {keys.media_id(name): name for name in found}
    return {name: names.get(row["duplicate_of"]) for name, row in found.items()}


def test_the_next_file_takes_the_place_of_an_overwritten_original(library: Library, drop: Drop, ingest: Ingest) -> None:
    drop({"a.jpg": jpeg(1), "b.jpg": jpeg(1), "c.jpg": jpeg(1)})
    ingest(library, ASSETS)
    assert duplicates(library) == {"a.jpg": None, "b.jpg": "a.jpg", "c.jpg": "a.jpg"}
    drop({"a.jpg": jpeg(2)})
    ingest(library, ASSETS)
    assert duplicates(library) == {"a.jpg": None, "b.jpg": None, "c.jpg": "b.jpg"}
    drop({"a.jpg": jpeg(1)})
    ingest(library, ASSETS)
    assert duplicates(library) == {"a.jpg": "b.jpg", "b.jpg": None, "c.jpg": "b.jpg"}


def test_a_duplicate_that_is_overwritten_changes_no_other_row(library: Library, drop: Drop, ingest: Ingest) -> None:
    drop({"a.jpg": jpeg(1), "b.jpg": jpeg(1)})
    ingest(library, ASSETS)
    before = rows(library, "files")["a.jpg"]
    drop({"b.jpg": jpeg(2)})
    ingest(library, ASSETS)
    assert rows(library, "files")["a.jpg"] == before
    assert duplicates(library) == {"a.jpg": None, "b.jpg": None}


def test_bytes_that_come_back_elsewhere_are_no_duplicate_of_what_is_another_file_now(
    library: Library, drop: Drop, ingest: Ingest
) -> None:
    drop({"a.jpg": jpeg(1)})
    ingest(library, ASSETS)
    drop({"a.jpg": jpeg(2)})
    ingest(library, ASSETS)
    drop({"b.jpg": jpeg(1)})
    ingest(library, ASSETS)
    assert duplicates(library) == {"a.jpg": None, "b.jpg": None}


def test_an_original_is_overwritten_in_the_run_that_brings_its_duplicate(
    library: Library, drop: Drop, ingest: Ingest
) -> None:
    drop({"a.jpg": jpeg(1)})
    ingest(library, ASSETS)
    drop({"a.jpg": jpeg(2), "b.jpg": jpeg(1), "c.jpg": jpeg(1)})
    ingest(library, ASSETS)
    assert duplicates(library) == {"a.jpg": None, "b.jpg": None, "c.jpg": "b.jpg"}


def test_two_files_that_swap_their_bytes(library: Library, drop: Drop, ingest: Ingest) -> None:
    drop({"a.jpg": jpeg(1), "b.jpg": jpeg(2), "c.jpg": jpeg(1)})
    ingest(library, ASSETS)
    drop({"a.jpg": jpeg(2), "b.jpg": jpeg(1)})
    ingest(library, ASSETS)
    found, now = duplicates(library), rows(library, "files")
    assert now["b.jpg"]["sha256"] == now["c.jpg"]["sha256"] != now["a.jpg"]["sha256"]
    assert found["a.jpg"] is None
    assert {found["b.jpg"], found["c.jpg"]} in ({None, "b.jpg"}, {None, "c.jpg"})


def test_a_new_version_replaces_the_rows_and_the_old_original_stays_with_its_history(
    library: Library, drop: Drop, ingest: Ingest
) -> None:
    drop({"a.jpg": jpeg(1)})
    first = ingest(library)["a.jpg"]
    drop({"a.jpg": jpeg(2)})
    second = ingest(library)["a.jpg"]
    for table in ("files", "metadata", "appearance", "renditions"):
        assert rows(library, table)["a.jpg"]["input_version"] == second.sha256
    history = [row for _, part in read_parts(library.store, "files") for row in part.to_pylist()]
    history.sort(key=lambda row: row["computed_at"])
    assert [row["sha256"] for row in history] == [first.sha256, second.sha256]
    assert [library.store.sha256(row["original_path"]) for row in history] == [first.sha256, second.sha256]


def test_a_renamed_upload_is_a_file_of_its_own_with_the_same_original(
    library: Library, drop: Drop, ingest: Ingest
) -> None:
    drop({"old.jpg": jpeg(1)})
    ingest(library, ASSETS)
    inbox = Path(library.settings.inbox_url)
    (inbox / "old.jpg").rename(inbox / "new.jpg")
    assert set(ingest(library, ASSETS)) == {"new.jpg"}
    found = rows(library, "files")
    assert duplicates(library) == {"old.jpg": None, "new.jpg": "old.jpg"}
    assert found["old.jpg"]["original_path"] == found["new.jpg"]["original_path"]


def test_a_deleted_upload_stays_in_the_library(library: Library, drop: Drop, ingest: Ingest) -> None:
    drop({"a.jpg": jpeg(1), "b.jpg": jpeg(2)})
    ingest(library, ASSETS)
    (Path(library.settings.inbox_url) / "a.jpg").unlink()
    assert ingest(library, ASSETS) == {}
    found = rows(library, "files")
    assert set(found) == {"a.jpg", "b.jpg"}
    assert library.store.sha256(found["a.jpg"]["original_path"]) == found["a.jpg"]["sha256"]


def test_two_owners_of_the_same_bytes_have_an_original_each(library: Library, drop: Drop, ingest: Ingest) -> None:
    drop({"alice/a.jpg": jpeg(1), "bob/a.jpg": jpeg(1)})
    ingest(library, ASSETS)
    drop({"alice/a.jpg": jpeg(2)})
    ingest(library, ASSETS)
    found = rows(library, "files")
    assert duplicates(library) == {"alice/a.jpg": None, "bob/a.jpg": None}
    assert found["bob/a.jpg"]["original_path"].startswith("originals/bob/")
    assert library.store.sha256(found["bob/a.jpg"]["original_path"]) == found["bob/a.jpg"]["sha256"]
