"""Uploads that leave the inbox after they were ingested, and what happens when something goes wrong on the way."""

import os
from pathlib import Path

import pytest
from click.testing import CliRunner

from media_assets.cli import main
from media_assets.pipeline.departures import depart
from media_assets.pipeline.library import Library
from media_assets.storage.errors import StorageError
from media_assets.storage.inbox_departures import LocalDepartures
from media_assets_tests.conftest import Drop, MakeLibrary
from media_assets_tests.pictures import jpeg
from media_assets_tests.unit.pipeline.batches import Ingest, entry_of, listed

pytestmark = pytest.mark.usefixtures("_shared_decoder")

ASSETS = ("original",)


def in_inbox(library: Library) -> set[str]:
    root = Path(library.settings.inbox_url)
    return {str(path.relative_to(root)) for path in root.rglob("*") if path.is_file()}


def test_nothing_leaves_by_default(library: Library, drop: Drop, ingest: Ingest) -> None:
    drop({"alice/a.jpg": jpeg()})
    ingest(library, ASSETS)
    assert depart(library, library.inbox()).left == 0
    assert in_inbox(library) == {"alice/a.jpg"}


def test_accepted_uploads_are_deleted_and_refused_ones_and_sidecars_stay(
    make_library: MakeLibrary, drop: Drop, ingest: Ingest
) -> None:
    library = make_library(after_ingest="delete")
    drop({"alice/a.jpg": jpeg(), "alice/a.jpg.xmp": b"<x:xmpmeta/>", "broken.jpg": b"no picture", "late.jpg": jpeg(2)})
    ingest(library, ASSETS)
    drop({"next.jpg": jpeg(3)})
    report = depart(library, library.inbox())
    assert (report.left, report.is_complete, report.held) == (2, True, [])
    assert in_inbox(library) == {"alice/a.jpg.xmp", "broken.jpg", "next.jpg"}
    assert (
        library.store.sha256(entry_of(library, "late.jpg").original_key or "") == entry_of(library, "late.jpg").sha256
    )
    assert set(ingest(library, ASSETS)) == {"next.jpg"}
    assert depart(library, library.inbox()).left == 1
    assert library.ledger.departure_counts() == {"left": 3}


def test_uploads_are_moved_beside_the_inbox_and_never_over_other_files(
    make_library: MakeLibrary, drop: Drop, ingest: Ingest, tmp_path: Path
) -> None:
    library = make_library(after_ingest="move")
    first, second = jpeg(1), jpeg(2)
    done = tmp_path / "library" / "done"
    drop({"alice/a.jpg": first})
    ingest(library, ASSETS)
    assert depart(library, library.inbox()).left == 1
    assert (done / "alice" / "a.jpg").read_bytes() == first
    drop({"alice/a.jpg": second})
    ingest(library, ASSETS)
    assert depart(library, library.inbox()).left == 1
    assert (done / "alice" / "a.jpg").read_bytes() == first
    sha256 = entry_of(library, "alice/a.jpg").sha256 or ""
    assert (done / "alice" / f"a.{sha256[:16]}.jpg").read_bytes() == second
    drop({"alice/a.jpg": second})  # bytes that lie there already
    ingest(library, ASSETS)
    assert depart(library, library.inbox()).left == 1
    assert len(list((done / "alice").iterdir())) == 2


def test_what_was_moved_into_a_folder_of_the_inbox_is_not_listed(
    make_library: MakeLibrary, drop: Drop, ingest: Ingest, tmp_path: Path
) -> None:
    library = make_library(after_ingest="move", inbox_done=str(tmp_path / "library" / "inbox" / "done"))
    drop({"a.jpg": jpeg()})
    ingest(library, ASSETS)
    assert depart(library, library.inbox()).left == 1
    assert in_inbox(library) == {"done/a.jpg"}
    assert listed(library) == []


def test_an_inbox_inside_of_done_is_refused(make_library: MakeLibrary, tmp_path: Path) -> None:
    library = make_library(after_ingest="move", inbox_done=str(tmp_path / "library"))
    with pytest.raises(StorageError, match="another folder"):
        depart(library, library.inbox())


@pytest.mark.parametrize("damage", ["missing", "changed"])
def test_without_a_sound_original_the_upload_stays(
    make_library: MakeLibrary, drop: Drop, ingest: Ingest, damage: str
) -> None:
    library = make_library(after_ingest="delete")
    drop({"a.jpg": jpeg()})
    ingest(library, ASSETS)
    path = library.store.local_path(entry_of(library, "a.jpg").original_key or "")
    assert path is not None
    path.unlink()
    if damage == "changed":
        path.write_bytes(b"other bytes")
    report = depart(library, library.inbox())
    assert report.left == 0
    assert report.held[0][0] == "a.jpg"
    assert ("missing" if damage == "missing" else "other bytes") in report.held[0][1]
    assert in_inbox(library) == {"a.jpg"}
    assert depart(library, library.inbox()).held == []  # not tried again at once


def test_a_version_that_came_after_the_accepted_one_stays(
    make_library: MakeLibrary, drop: Drop, ingest: Ingest
) -> None:
    library = make_library(after_ingest="delete")
    drop({"a.jpg": jpeg(1)})
    ingest(library, ASSETS)
    drop({"a.jpg": jpeg(2)})
    report = depart(library, library.inbox())
    assert (report.left, report.superseded) == (0, 1)
    assert in_inbox(library) == {"a.jpg"}
    assert ingest(library, ASSETS)["a.jpg"].state == "materialized"
    assert depart(library, library.inbox()).left == 1
    assert in_inbox(library) == set()


def test_the_same_version_that_comes_back_is_not_processed_and_leaves_again(
    make_library: MakeLibrary, drop: Drop, ingest: Ingest
) -> None:
    library = make_library(after_ingest="delete")
    drop({"a.jpg": jpeg()})
    path = Path(library.settings.inbox_url) / "a.jpg"
    content, status = path.read_bytes(), path.stat()
    ingest(library, ASSETS)
    assert depart(library, library.inbox()).left == 1
    path.write_bytes(content)
    os.utime(path, ns=(status.st_mtime_ns, status.st_mtime_ns))
    assert ingest(library, ASSETS) == {}
    assert depart(library, library.inbox()).left == 1
    assert in_inbox(library) == set()


def test_a_second_upload_of_known_bytes_is_a_version_of_its_own(
    make_library: MakeLibrary, drop: Drop, ingest: Ingest
) -> None:
    library = make_library(after_ingest="delete")
    for _ in range(2):
        drop({"a.jpg": jpeg()})
        assert ingest(library, ASSETS)["a.jpg"].state == "materialized"
        assert depart(library, library.inbox()).left == 1


@pytest.mark.parametrize("after_ingest", ["move", "delete"])
@pytest.mark.parametrize("step", ["sha256", "rename", "unlink", "recorded"])
def test_a_crash_between_any_two_steps_is_completed_by_the_next_tick(
    make_library: MakeLibrary,
    drop: Drop,
    ingest: Ingest,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    step: str,
    after_ingest: str,
) -> None:
    library = make_library(after_ingest=after_ingest)
    content = jpeg()
    drop({"alice/a.jpg": content})
    ingest(library, ASSETS)

    class KilledError(BaseException):
        pass

    def killed(*_: object, **__: object) -> None:
        raise KilledError

    with monkeypatch.context() as patch:
        if step == "sha256":
            patch.setattr(type(library.store), "sha256", killed)
        elif step == "rename":  # before the file loses its name
            patch.setattr(LocalDepartures, "leave", killed)
        elif step == "unlink":  # it has no name any more
            patch.setattr(LocalDepartures, "_take", killed)
        else:
            real = library.ledger.set_departure
            patch.setattr(
                library.ledger,
                "set_departure",
                lambda one, state, **k: killed() if state == "left" else real(one, state, **k),
            )
        with pytest.raises(KilledError):
            depart(library, library.inbox())
    assert listed(library) == []  # what has no name is not listed under another one
    assert library.store.sha256(entry_of(library, "alice/a.jpg").original_key or "")
    report = depart(library, library.inbox())
    assert report.is_complete
    assert report.left == 1
    assert in_inbox(library) == set()
    if after_ingest == "move":
        assert (tmp_path / "library" / "done" / "alice" / "a.jpg").read_bytes() == content


def test_a_newer_upload_while_a_crashed_departure_is_open_is_kept(
    make_library: MakeLibrary, drop: Drop, ingest: Ingest, monkeypatch: pytest.MonkeyPatch
) -> None:
    library = make_library(after_ingest="delete")
    drop({"a.jpg": jpeg(1)})
    ingest(library, ASSETS)

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(LocalDepartures, "_take", killed)
        with pytest.raises(KeyboardInterrupt):
            depart(library, library.inbox())
    drop({"a.jpg": jpeg(2)})
    assert ingest(library, ASSETS)["a.jpg"].state == "materialized"
    depart(library, library.inbox())
    depart(library, library.inbox())
    assert in_inbox(library) == set()
    assert library.ledger.departure_counts() == {"left": 1}


def test_a_version_that_slips_in_is_put_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.jpg"
    path.write_bytes(b"old")
    status = path.stat()
    etag = f"{status.st_mtime_ns:x}-3"
    real = os.rename

    def slipping(source: bytes, target: bytes, **kwargs: int) -> None:
        if source == b"a.jpg":
            newer = tmp_path / "newer"
            newer.write_bytes(b"newer")
            newer.rename(path)
        real(source, target, **kwargs)

    monkeypatch.setattr(os, "rename", slipping)
    with pytest.raises(StorageError, match="changed after it was listed"):
        LocalDepartures(tmp_path, None).leave("a.jpg", etag, 3, "0" * 64)
    assert [one.name for one in tmp_path.iterdir()] == ["a.jpg"]
    assert path.read_bytes() == b"newer"


def test_links_stay(tmp_path: Path) -> None:
    (tmp_path / "real.jpg").write_bytes(b"x")
    (tmp_path / "link.jpg").symlink_to(tmp_path / "real.jpg")
    with pytest.raises(StorageError, match="links stay"):
        LocalDepartures(tmp_path, None).leave("link.jpg", "1-1", 1, "0" * 64)
    assert (tmp_path / "link.jpg").is_symlink()


def test_a_copy_to_another_file_system_is_compared_before_anything_is_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    inbox, done = tmp_path / "inbox", tmp_path / "done"
    inbox.mkdir()
    path = inbox / "a.jpg"
    path.write_bytes(b"bytes")
    etag = f"{path.stat().st_mtime_ns:x}-5"
    real = os.rename

    def across(source: object, target: object, **kwargs: int) -> None:
        if "src_dir_fd" in kwargs and "dst_dir_fd" not in kwargs:
            raise OSError(18, "Invalid cross-device link")
        real(source, target, **kwargs)  # type: ignore[arg-type]

    monkeypatch.setattr(os, "rename", across)
    way_out = LocalDepartures(inbox, done)
    with pytest.raises(StorageError, match="other bytes"):
        way_out.leave("a.jpg", etag, 5, "0" * 64)
    assert path.read_bytes() == b"bytes"
    assert list(done.iterdir()) == []
    sha256 = "277089d91c0bdf4f2e6862ba7e4a07605119431f5d13f726dd352b06f1b206a9"
    way_out.leave("a.jpg", etag, 5, sha256)
    assert (done / "a.jpg").read_bytes() == b"bytes"
    assert not path.exists()


def test_one_call_is_bounded(make_library: MakeLibrary, drop: Drop, ingest: Ingest) -> None:
    library = make_library(after_ingest="delete")
    drop({f"{at}.jpg": jpeg(at) for at in range(3)})
    ingest(library, ASSETS)
    first = depart(library, library.inbox(), max_files=2)
    assert (first.left, first.is_complete) == (2, False)
    assert depart(library, library.inbox(), max_seconds=0).left == 0
    assert depart(library, library.inbox()).left == 1


def test_process_lets_the_configured_inbox_go_and_no_other_folder(
    make_library: MakeLibrary, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MEDIA_ASSETS_AFTER_INGEST", "delete")
    root, other = make_library().settings.library_root, tmp_path / "other"
    for folder, seed in ((other, 1), (root / "inbox", 2)):
        folder.mkdir(exist_ok=True)
        (folder / f"{seed}.jpg").write_bytes(jpeg(seed))
        call = ["process", str(folder), "--library", str(root), "--assets", "original", "--json", "--workers", "1"]
        result = CliRunner().invoke(main, call)
        assert result.exit_code == 0, result.output
    assert (other / "1.jpg").is_file()
    assert not (root / "inbox" / "2.jpg").exists()
